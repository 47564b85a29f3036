"""What the files on the disk and the package say now: the part of a version that people write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from brainkernel.classify import ruleset
from brainkernel.effective import PolicyFile, StrategyFile
from brainkernel.errors import ConfigError
from brainkernel.store.versionfiles import digest_of, digest_of_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from brainkernel.classify.knowledge import Knowledge
    from brainkernel.config import Config

POLICY, STRATEGY, MODEL, CAUTION = "policy.json", "strategy.json", "model.bin", "caution.json"
RULES = "rules.d/"
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Source:
    """One reading of the files. `digest` changes with anything that a version is made of, and with nothing else."""

    config: Config
    rules: ruleset.RuleSet
    contents: dict[str, bytes]  # policy.json and rules.d/*
    model_digest: str  # of the shipped model
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where what people write, and what the package ships, is read from."""

    read_config: Callable[[], Config]
    knowledge: Knowledge
    model_file: Path
    rule_directories: tuple[Path, ...] = (ruleset.SHIPPED_RULES, ruleset.ADMIN_RULES)


def read_source(places: Places, before: Source | None = None) -> Source:
    """Read all of it, and look whether it holds. Raises ConfigError with file, line and key.

    Rules that are those of `before` are not made anew: they are a tenth of the daemon's memory, and its allocator keeps it.
    """
    config = places.read_config()
    rules, files = _rules(places, before)
    contents = {POLICY: msgspec.json.encode(PolicyFile.of(config)), **files}
    model_digest = digest_of(bytes_of(places.model_file))
    digests = {name: digest_of(data) for name, data in contents.items()}
    digests |= {MODEL: model_digest, STRATEGY: digest_of(msgspec.json.encode(StrategyFile()))}
    return Source(config, rules, contents, model_digest, digest_of_files(digests))


def rules_in(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """The rule files among the files of a version."""
    return {name: data for name, data in contents.items() if name.startswith(RULES)}


# A file that somebody writes while we read it must not be kept as something else than what was checked.
def _rules(places: Places, before: Source | None) -> tuple[ruleset.RuleSet, dict[str, bytes]]:
    for _ in range(_ATTEMPTS):
        files = _rule_files(places)
        if before is not None and files == rules_in(before.contents):
            return before.rules, files
        rules = ruleset.load(places.rule_directories, places.knowledge)
        if _rule_files(places) == files:
            return rules, files
    msg = f"{places.rule_directories[-1]}: its files change while they are read; reload again when that is over"
    raise ConfigError(msg)


def _rule_files(places: Places) -> dict[str, bytes]:
    return {f"{RULES}{name}": bytes_of(path) for name, path in ruleset.files_in(places.rule_directories).items()}


def bytes_of(path: Path) -> bytes:
    """A file's content. Raises ConfigError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror or error}"
        raise ConfigError(msg) from None
