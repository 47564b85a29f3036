"""What every way of seeing the kernel's events looks like, and the choice of one.

`core`, `bcc` and `netlink` see live events (loaders.py has their order); `replay` reads a recording.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

from brainkernel.errors import SenseError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from brainkernel.model import Exec, Identity, ProcessEvent, TaskSample
    from brainkernel.sense.runqueue import Histogram


@dataclass(frozen=True, slots=True)
class Fates:
    """What became of the events of one kind in the kernel. Totals since the loader was opened."""

    seen: int = 0
    own: int = 0  # of the agent and its children
    known: int = 0  # the gate in the kernel kept it: counted, no record
    submitted: int = 0
    suppressed: int = 0  # by flood control
    failed: int = 0  # lost

    @property
    def balanced(self) -> bool:
        """Whether every event is accounted for. Holds whenever no event is under way."""
        return self.seen == self.own + self.known + self.submitted + self.suppressed + self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelCounters:
    """The books of a loader: nothing is lost without being in here."""

    exec: Fates = field(default_factory=Fates)
    exit: Fates = field(default_factory=Fates)
    fork: Fates = field(default_factory=Fates)
    received: Mapping[str, int] = field(default_factory=dict)  # records decoded, by "exec", "exit", "fork"
    undecodable: int = 0  # records that were not of the ABI
    wakeups: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)  # failed operations in the kernel, by cause

    def by_kind(self) -> dict[str, Fates]:
        """The three kinds by name, as metrics label them."""
        return {"exec": self.exec, "exit": self.exit, "fork": self.fork}

    @property
    def lost(self) -> int:
        """Records that should have come and did not."""
        return self.exec.failed + self.exit.failed + self.fork.failed + self.undecodable

    def mismatches(self) -> list[str]:
        """The sums that do not hold, in words; empty when all do. Only meaningful when the ring is drained."""
        found = [f"{kind}: seen {f.seen} is not the sum of {f}" for kind, f in self.by_kind().items() if not f.balanced]
        submitted = sum(f.submitted for f in self.by_kind().values())
        received = sum(self.received.values()) + self.undecodable
        if submitted != received:
            found.append(f"submitted {submitted}, received {received}")
        return found


class Loader(Protocol):
    """A source of process events. Used from one thread; nothing in it blocks."""

    @property
    def name(self) -> str:
        """As in `--loader`."""
        ...

    @property
    def limits(self) -> tuple[str, ...]:
        """What it cannot see on this host, one sentence each; empty: all of DESIGN.md section 4. Valid once open."""
        ...

    def open(self) -> None:
        """Begin to see. Raises SenseError with what is missing and what to do."""
        ...

    def close(self) -> None:
        """Stop, and leave nothing in the kernel. May be called twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def fileno(self) -> int:
        """A descriptor that is readable when something urgent waits; drain on a timer as well, for what is not."""
        ...

    def drain(self, limit: int = 512) -> list[ProcessEvent]:
        """Take what waits, oldest first, at most `limit` records, so that the caller's loop stays responsive.

        When `limit` was reached more may wait, and `fileno` stays readable.
        """
        ...

    def remember(self, identity: Identity, *, always: bool = False) -> None:
        """Let the kernel only count this program from now on; with `always`, report it each time all the same."""
        ...

    def remember_many(self, identities: Iterable[tuple[Identity, bool]]) -> int:
        """The same for many at once, at start; the answer is how many it could take (those with a file)."""
        ...

    def remember_arguments(self, event: Exec) -> bool:
        """Let the kernel only count this `always` program whenever it starts with exactly these arguments.

        False if it cannot: they are too long, could not be read, or the program is not remembered as `always` yet.
        """
        ...

    def forget(self, identity: Identity) -> None:
        """Report this program again."""
        ...

    def exclude(self, tgid: int) -> None:
        """Do not report this process of ours and the children it will have."""
        ...

    def counters(self) -> KernelCounters:
        """The books."""
        ...

    def run_queue(self) -> Histogram | None:
        """Run-queue waits since open, without those of followed cgroups; None if it cannot see them."""
        ...

    def follow_cgroup(self, cgroup_id: int) -> bool:
        """Count the waits of this cgroup and of those below it apart from now on; False if it cannot."""
        ...

    def unfollow_cgroup(self, cgroup_id: int) -> None:
        """Count them with the host again."""
        ...

    def run_queue_of(self, cgroup_id: int) -> Histogram | None:
        """Run-queue waits of a followed cgroup since then; None if it is not followed."""
        ...

    def tasks(self) -> list[TaskSample] | None:
        """All processes but kernel threads, now; None if it has no way that is cheaper than /proc."""
        ...


@dataclass(frozen=True, slots=True)
class Chosen:
    """An open loader, and why it is this one."""

    loader: Loader
    why: str
    refused: tuple[str, ...] = ()  # the loaders tried before it, each with its error


def choose(wanted: str, factories: Mapping[str, Callable[[], Loader]]) -> Chosen:
    """Open the wanted loader, or with "auto" the first one of `factories` that opens, in their order.

    Raises UsageError for a name that is not there and SenseError when none can be opened.
    """
    if wanted != "auto":
        if wanted not in factories:
            msg = f"--loader {wanted} is not available here; there is: auto, {', '.join(factories)}"
            raise UsageError(msg)
        loader = factories[wanted]()
        loader.open()
        return Chosen(loader, "asked for")
    refused: list[str] = []
    for name, make in factories.items():
        loader = make()
        try:
            loader.open()
        except SenseError as error:
            loader.close()
            refused.append(f"{name}: {error}")
        else:
            return Chosen(loader, "; ".join(refused) or "the most capable one", tuple(refused))
    msg = "no loader can see events here: " + "; ".join(refused)
    raise SenseError(msg)
