"""What decides, as one thing that can be exchanged: policy, thresholds, rules, strategy and models of one version.

While a canary is tried there are two, and each program belongs to one of them by a hash of its identity.
"""

from __future__ import annotations

from _blake2 import blake2b
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import msgspec

from brainkernel.config import Approvals, Config, Gate, Policy, Quality, Symptoms
from brainkernel.errors import ConfigError
from brainkernel.learn.caution import Caution
from brainkernel.learn.strategy import SETTINGS, Settings, Strategy

if TYPE_CHECKING:
    from brainkernel.classify.model import ModelTier
    from brainkernel.classify.tiers import RulesTier
    from brainkernel.model import Identity, Suspect, Verdict

T = TypeVar("T")


class PolicyFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The versioned sections of the configuration.

    Not among them: `agent` (a rollback must not make an agent act that was told to observe), `safety` (nor take a
    protection away), and what does not decide.
    """

    gate: Gate = Gate()
    symptoms: Symptoms = Symptoms()
    policy: Policy = Policy()
    approvals: Approvals = Approvals()
    quality: Quality = Quality()

    @classmethod
    def of(cls, config: Config) -> PolicyFile:
        """Take them out of a configuration."""
        return cls(*(getattr(config, name) for name in cls.__struct_fields__))

    def over(self, config: Config) -> Config:
        """Put them in the place of those of a configuration."""
        return msgspec.structs.replace(config, **{name: getattr(self, name) for name in self.__struct_fields__})


class StrategyFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What each strategy sets, and which one a person has forced; "" if the rules choose."""

    settings: dict[Strategy, Settings] = msgspec.field(default_factory=lambda: dict(SETTINGS))
    forced: Strategy | None = None
    until_ns: int | None = None  # CLOCK_REALTIME


@dataclass(frozen=True, slots=True, kw_only=True)
class Standards:
    """What a decision is made by, beside the verdict. `number` is the version's; 0: none was kept."""

    config: Config
    number: int = 0
    caution: Caution = field(default_factory=Caution)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """One version, ready for use."""

    standards: Standards
    rules: RulesTier
    model: ModelTier
    strategy: StrategyFile = field(default_factory=StrategyFile)

    @property
    def number(self) -> int:
        """The version's."""
        return self.standards.number

    def over(self, config: Config) -> Effective:
        """The same with another configuration under it: what is not versioned holds for every version."""
        config = PolicyFile.of(self.standards.config).over(config)
        return replace(self, standards=replace(self.standards, config=config))


class Arms:
    """The version in force, and the one that is tried on a share of all programs."""

    def __init__(self, current: Effective) -> None:
        self.current = current
        self._canary: Effective | None = None
        self._share = 0.0

    @property
    def canary(self) -> Effective | None:
        """The version that is tried."""
        return self._canary

    def try_out(self, canary: Effective | None, share: float = 0.0) -> None:
        """Let a version decide about a share of all programs; None: about none any more."""
        self._canary, self._share = canary, share

    def rebase(self, config: Config) -> None:
        """Put another configuration under both."""
        self.current = self.current.over(config)
        self._canary = self._canary.over(config) if self._canary else None

    def of(self, identity: Identity) -> Effective:
        """The version that decides about a program: always the same one while both stand."""
        if self._canary is not None and _place_of(identity, self._canary.number) < self._share:
            return self._canary
        return self.current

    def standards_of(self, identity: Identity) -> Standards:
        """What decides about a program."""
        return self.of(identity).standards

    def judge_by_rules(self, suspect: Suspect) -> Verdict | None:
        """The tier of rules."""
        return self.of(suspect.identity).rules.judge(suspect)

    def judge_by_model(self, suspect: Suspect) -> Verdict | None:
        """The tier of the local model."""
        return self.of(suspect.identity).model.judge(suspect)


# Without the file's inode: a program that is upgraded meanwhile stays where it is. With the version: not always the same programs are tried on.
def _place_of(identity: Identity, number: int) -> float:
    text = f"{number}\0{identity.exe}\0{identity.parent_exe}\0{identity.uid}"
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()) / (1 << 64)


def decoded(name: str, data: bytes, schema: type[T]) -> T:
    """Read a file of a version. Raises ConfigError, as for one of a newer agent."""
    try:
        return msgspec.json.decode(data, type=schema)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        msg = f"{name}: {error}"
        raise ConfigError(msg) from None
