"""What people say on the control socket about decisions and strategies: arguments and results, for both sides.

The commands' names, and who may use them, are in control.py.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from brainkernel.link.messages import Natural, ShortText  # noqa: TC001 # msgspec reads the annotations at run time
from brainkernel.model import AuditEntry, Category  # noqa: TC001

AUTO_STRATEGY = "auto"  # the rules choose


class FeedbackArguments(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Of feedback: what a person thinks of a decision."""

    id: Natural
    good: bool
    label: Category | None = None
    text: ShortText = ""


class AnswerArguments(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Of approve and deny: a pending decision; `always`: this program from now on."""

    id: Natural
    always: bool = False


class AuditArguments(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Of audit: the newest `limit` deeds."""

    limit: Annotated[int, Meta(ge=1, le=500)] = 50


class AuditLog(msgspec.Struct, frozen=True):
    """Result of audit, newest first."""

    entries: tuple[AuditEntry, ...]


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """One limit that waits for a person, with its evidence."""

    id: int
    pid: int
    exe: str
    category: str
    confidence: float
    limit: str
    reason: str
    evidence: tuple[str, ...]
    expires_s: float


class PendingLimits(msgspec.Struct, frozen=True):
    """Result of pending, oldest first."""

    waiting: tuple[Waiting, ...]


class StrategyArguments(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Of set_strategy; without `seconds` it holds until told otherwise."""

    name: Literal["aggressive", "balanced", "conservative", "auto"]
    seconds: Annotated[float, Meta(gt=0, le=31_536_000)] | None = None


class StrategyState(msgspec.Struct, frozen=True, kw_only=True):
    """Result of strategy and set_strategy: which one is in force, and what it sets."""

    strategy: str
    why: str
    forced: bool
    seconds_left: float | None = None  # of a forced one that ends
    throttle_threshold: float
    check_interval_s: float


class Noted(msgspec.Struct, frozen=True):
    """Result of feedback, approve and deny: what follows from it."""

    id: int
    text: str
