"""The commands about versions on the control socket: arguments and results, for both sides."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from brainkernel.link.messages import Natural  # noqa: TC001 # msgspec reads the annotations at run time

VERSIONS, ROLLBACK, CANARY = "versions", "rollback", "canary"


class RollbackArguments(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Of rollback: a version, by default the one before."""

    number: Natural | None = None


class CanaryArguments(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Of canary: try a version out on a share of all programs, take it up, or end the trial."""

    deed: Literal["try", "promote", "withdraw"]
    number: Natural = 0
    share: Annotated[float, Meta(gt=0, lt=1)] = 0.1


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """How a version does. Decisions about programs that hurt somebody, and limits among them, are since the start of the agent."""

    decisions: int = 0
    limits: int = 0
    samples: float = 0.0  # weight of the words about its limits
    wrong: float | None = None  # share of its limits that were wrong, None where not enough is known
    low: float | None = None
    high: float | None = None


class VersionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One kept version. `state` is "in force", "canary", "withdrawn" or "". Times are CLOCK_REALTIME."""

    number: int
    time_ns: int
    why: str
    by: str
    parent: int
    state: str = ""
    arm: Arm = Arm()


class VersionsState(msgspec.Struct, frozen=True, kw_only=True):
    """Result of versions, newest first; and of rollback and canary, with what they did in `text`."""

    versions: tuple[VersionRow, ...]
    in_force: int = 0  # 0: none can be kept
    since_ns: int = 0
    why: str = ""
    by: str = ""
    canary: int = 0  # 0: none
    canary_share: float = 0.0
    notes: tuple[str, ...] = ()  # what a person should know: files that say something else, a disk that is full
    learning: tuple[str, ...] = ()
    text: str = ""
