"""From kept files to something that decides, and back: what is on the shelf, and which of it can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from brainkernel.classify import ruleset
from brainkernel.classify.model import LocalModel, ModelTier
from brainkernel.classify.tiers import RulesTier
from brainkernel.effective import Effective, PolicyFile, Standards, StrategyFile, decoded
from brainkernel.errors import StoreError
from brainkernel.learn.caution import Caution, CautionFile
from brainkernel.store.versionfiles import Manifest, VersionFiles, digest_of
from brainkernel.versioning.source import CAUTION, MODEL, POLICY, RULES, STRATEGY, Places, Source, bytes_of, rules_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from brainkernel.config import Config

NAMES_SHOWN = 3


def unlearned(places: Places) -> dict[str, bytes]:
    """The part of a version that nobody wrote, before anything was learned."""
    return {
        STRATEGY: msgspec.json.encode(StrategyFile()),
        MODEL: bytes_of(places.model_file),
        CAUTION: msgspec.json.encode(CautionFile()),
    }


def learned(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """The part of a version that nobody wrote."""
    return {name: contents[name] for name in (STRATEGY, MODEL, CAUTION)}


def from_source_alone(source: Source, places: Places) -> Effective:
    """What decides when nothing can be kept: what the files say, and what the package ships."""
    return Effective(
        standards=Standards(config=source.config),
        rules=RulesTier(source.rules),
        model=ModelTier(LocalModel(places.model_file), places.knowledge),
    )


def written(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """The part of a version that people wrote."""
    return {POLICY: contents[POLICY], **rules_in(contents)}


def differing(contents: Mapping[str, bytes], source: Source) -> str:
    """What the files say differently than a version, in words."""
    before, now = written(contents), source.contents
    names = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    if len(names) > NAMES_SHOWN:
        names = [*names[:NAMES_SHOWN], f"and {len(names) - NAMES_SHOWN} more"]
    return ", ".join(name.removesuffix(".json") for name in names) or "the package's model or strategies"


class Shelf:
    """All kept versions."""

    def __init__(self, files: VersionFiles, places: Places) -> None:
        self.files = files
        self.places = places

    def contents(self, number: int) -> dict[str, bytes]:
        """The files of a version. Raises StoreError if it is gone or damaged."""
        return self.files.contents_of(self.manifest(number))

    def manifest(self, number: int) -> Manifest:
        """What is known of a version. Raises StoreError if it is gone."""
        if (manifest := self.files.find(number)) is None:
            msg = f"there is no version {number} (any more); `brainkernel versions` lists them"
            raise StoreError(msg)
        return manifest

    def load(self, number: int, config: Config, said: Source | None = None) -> Effective:
        """Make a version ready for use, over what is not versioned in `config`; rules as in `said` need not be read again.

        Raises StoreError or ConfigError if it does not load.
        """
        manifest = self.manifest(number)
        contents, folder = self.files.contents_of(manifest), self.files.folder_of(manifest)
        config = decoded(str(folder / POLICY), contents[POLICY], PolicyFile).over(config)
        is_shipped = digest_of(bytes_of(self.places.model_file)) == manifest.files[MODEL]
        # Mapped where it lies: the shipped file's pages are shared with all who use it.
        model = LocalModel(self.places.model_file if is_shipped else folder / MODEL)
        caution = Caution.of(contents[CAUTION], str(folder / CAUTION))
        as_said = said is not None and rules_in(contents) == rules_in(said.contents)
        rules = said.rules if said is not None and as_said else ruleset.load((folder / RULES,), self.places.knowledge)
        return Effective(
            standards=Standards(config=config, number=number, caution=caution),
            rules=RulesTier(rules),
            model=ModelTier(model, self.places.knowledge),
            strategy=decoded(str(folder / STRATEGY), contents[STRATEGY], StrategyFile),
        )
