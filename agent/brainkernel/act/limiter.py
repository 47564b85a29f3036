"""What the daemon holds of this stage: a queue in, results out, and one thread that does the slow work between.

Neither a busy PID 1 nor a slow disk may hold up the pipeline, so nothing here blocks but `release_all`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from brainkernel.act.enforcer import Enforcer
from brainkernel.act.host import Host
from brainkernel.act.ledger import Ledger
from brainkernel.act.procfs import text_of
from brainkernel.act.routes.protocol import OLD_STEP_STANDS, Fate, Patience
from brainkernel.act.systemd import DbusManagers
from brainkernel.act.undo import Undo, routes_of
from brainkernel.errors import ActError
from brainkernel.model import Action, Refusal, ReleaseResult

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from brainkernel.act.enforcer import Permissions
    from brainkernel.act.ledger import Entry
    from brainkernel.act.systemd import Managers
    from brainkernel.clock import Clock
    from brainkernel.model import Decision, Limit

MAX_WAITING = 64  # decisions; when systemd is that far behind, newer ones would be stale too
STALE_AFTER_NS = 10_000_000_000  # a decision that waited longer judged a harm that may be over
SWEEP_S = 1.0
RETRY_NS = 5_000_000_000
RETRY_MAX_NS = 300_000_000_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Applied:
    """A limit stands (by `apply`) or was replaced by another step (by `step`)."""

    action: Action


@dataclass(frozen=True, slots=True)
class NotApplied:
    """A limit was not set, or a step not made.

    After a step that was not made the limit ends, and `Released` follows; but not for the rules of `OLD_STEP_STANDS`.
    """

    decision_id: int
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Released:
    """A limit ended. `FAILED` says that it still stands and will be tried again; another `Released` follows."""

    action: Action
    result: ReleaseResult
    why: str


Result = Applied | NotApplied | Released


@dataclass(frozen=True, slots=True)
class _Retry:
    at_ns: int
    pause_ns: int


class Limiter:
    """Applies and ends limits on a thread of its own. Its methods may be called from one other thread.

    A limit whose lease runs out, whose process ends, or that somebody else changes, is released without being
    asked: should the pipeline stall, no limit outlives its lease.
    """

    def __init__(
        self,
        state_dir: Path,
        permissions: Permissions,
        clock: Clock,
        host: Host | None = None,
        *,
        managers: Managers | None = None,
        patience: Patience | None = None,
        sweep_s: float = SWEEP_S,
    ) -> None:
        """Lock the ledger in `state_dir`, and begin to undo what an earlier run left in it.

        Raises ActError if another agent holds it. `permissions` are asked on the limiter's thread.
        """
        host = host or Host()
        self._clock = clock
        self._sweep_s = sweep_s
        self._ledger = Ledger(state_dir, boot_id_of(host))
        self._managers = managers or DbusManagers(host.run)
        self._enforcer = Enforcer(
            host=host,
            managers=self._managers,
            ledger=self._ledger,
            permissions=permissions,
            clock=clock,
            patience=patience or Patience(),
        )
        self._wake = threading.Condition()
        self._urgent: deque[Callable[[], None]] = deque()  # releases go before new limits
        self._waiting: deque[tuple[int, Decision]] = deque()  # since when
        self._results: deque[Result] = deque()
        self._ready_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._leases: dict[int, int] = {}
        self._ending = dict.fromkeys(self._ledger.live, "left by an earlier run")
        self._retry: dict[int, _Retry] = {}
        self._stood_down: set[int] = set()  # reported as FOREIGN, and not done with: see Undo.release
        self._closing = False
        # What an earlier run left, and the highest of these ids, 0 if none: a new decision must not have one that is in the ledger.
        self.left = frozenset(self._ledger.live)
        self.last_id = max(self.left, default=0)
        self._thread = threading.Thread(target=self._run, name="limiter", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """Readable while `results` has something, for the daemon's selector."""
        return self._ready_fd

    def results(self) -> list[Result]:
        """What happened since the last call, in order."""
        try:
            os.eventfd_read(self._ready_fd)
        except BlockingIOError:
            return []
        return [self._results.popleft() for _ in range(len(self._results))]

    def apply(self, decision: Decision) -> None:
        """Queue a decision; `Applied` or `NotApplied` follows."""
        with self._wake:
            if self._closing or len(self._waiting) >= MAX_WAITING:
                reason = "the agent is stopping" if self._closing else f"systemd is behind: {MAX_WAITING} limits wait already"
                self._report(NotApplied(decision.id, Refusal(rule="busy", reason=reason)))
                return
            self._waiting.append((self._clock.boot_ns(), decision))
            self._wake.notify()

    def step(self, action_id: int, limit: Limit, expires_ns: int) -> None:
        """Queue another step of the ladder with its lease; `Applied`, or `NotApplied` and `Released`, follow."""
        self._ask(lambda: self._step(action_id, limit, expires_ns))

    def renew(self, action_id: int, expires_ns: int) -> None:
        """Let a limit stand until `expires_ns` (CLOCK_BOOTTIME). No result follows."""
        self._ask(lambda: self._renew(action_id, expires_ns))

    def release(self, action_id: int, why: str) -> None:
        """Queue the end of a limit; `Released` follows."""
        self._ask(lambda: self._release(action_id, why))

    def release_all(self, why: str, deadline_s: float) -> int:
        """End every limit and drop what waits; wait at most `deadline_s`. Returns how many limits still stand."""
        done = threading.Event()

        def end() -> None:
            while self._waiting:
                _, decision = self._waiting.popleft()
                self._report(NotApplied(decision.id, Refusal(rule="busy", reason=why)))
            for action_id in _in_order_of_release(self._ledger):
                self._release(action_id, why, last=True)
            self._enforcer.undo.reload()
            done.set()

        self._ask(end)
        done.wait(deadline_s)
        return len(self._ledger.live)

    def close(self, deadline_s: float = 5.0) -> None:
        """Stop the thread and give up the ledger. What still stands is left for `release_everything`."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(deadline_s)
        if not self._thread.is_alive():  # else it still uses them; the process is about to end
            self._managers.close()
            self._ledger.close()
            os.close(self._ready_fd)

    def _ask(self, work: Callable[[], None]) -> None:
        with self._wake:
            self._urgent.append(work)
            self._wake.notify()

    def _report(self, result: Result) -> None:
        self._results.append(result)
        os.eventfd_write(self._ready_fd, 1)

    def _run(self) -> None:
        swept = 0.0
        while True:
            work = self._next()
            if work is None and self._closing:
                return
            try:
                if work is not None:
                    work()
                if time.monotonic() - swept >= self._sweep_s:
                    swept = time.monotonic()
                    self._sweep()
            except Exception:  # noqa: BLE001 # logged with its traceback
                # The thread must live: limits stand. What was begun is in the ledger, and the sweep ends it.
                _log.exception("a limit could not be handled")

    def _next(self) -> Callable[[], None] | None:
        with self._wake:
            if not self._urgent and not self._waiting and not self._closing:
                # Without limits nothing is to be swept, and nobody to be woken for it.
                self._wake.wait(self._sweep_s if self._ledger.live or self._ending else None)
            if self._urgent:
                return self._urgent.popleft()
            if self._waiting and not self._closing:
                since, decision = self._waiting.popleft()
                return lambda: self._apply(since, decision)
        return None

    def _apply(self, since_ns: int, decision: Decision) -> None:
        try:
            if self._clock.boot_ns() - since_ns > STALE_AFTER_NS:
                found: Action | Refusal = Refusal(rule="busy", reason="systemd was behind, and the harm may be over")
            else:
                found = self._enforcer.apply(decision)
        except Exception as error:
            self._report(NotApplied(decision.id, Refusal(rule="internal", reason=f"{type(error).__name__}: {error}")))
            self._end_if_live(decision.id, "it could not be applied")
            raise
        self._tell(decision.id, found)

    def _step(self, action_id: int, limit: Limit, expires_ns: int) -> None:
        found = self._enforcer.step(action_id, limit)
        if isinstance(found, Action):
            self._tell(action_id, replace(found, expires_ns=expires_ns))
            return
        self._report(NotApplied(action_id, found))
        if found.rule in OLD_STEP_STANDS:
            self._renew(action_id, expires_ns)
        else:
            self._release(action_id, found.reason)

    def _tell(self, decision_id: int, found: Action | Refusal) -> None:
        if isinstance(found, Action):
            self._leases[found.id] = found.expires_ns
            self._report(Applied(found))
        else:
            self._report(NotApplied(decision_id, found))
            self._end_if_live(decision_id, found.reason)

    def _end_if_live(self, action_id: int, why: str) -> None:
        # Begun, and its undo failed: the sweep tries again. A limit that stood before, and still does, has a lease.
        if action_id in self._ledger.live and action_id not in self._leases:
            self._ending.setdefault(action_id, why)

    def _renew(self, action_id: int, expires_ns: int) -> None:
        if action_id in self._leases:
            self._leases[action_id] = max(self._leases[action_id], expires_ns)

    def _release(self, action_id: int, why: str, *, last: bool = False) -> None:
        entry = self._ledger.live.get(action_id)
        if entry is None:
            return
        self._leases.pop(action_id, None)
        result = self._enforcer.undo.release(action_id, last=last)
        if result is ReleaseResult.FAILED:
            said = action_id in self._retry
            pause = min(2 * self._retry[action_id].pause_ns, RETRY_MAX_NS) if said else RETRY_NS
            self._retry[action_id] = _Retry(self._clock.boot_ns() + pause, pause)
            self._ending[action_id] = why
            if said:
                return
        else:
            self._ending.pop(action_id, None)
            self._retry.pop(action_id, None)
        if action_id not in self._stood_down:
            self._report(Released(entry.action, result, why))
        if result is ReleaseResult.FOREIGN and action_id in self._ledger.live:
            self._stood_down.add(action_id)

    def _sweep(self) -> None:
        now = self._clock.boot_ns()
        for action_id, why in tuple(self._ending.items()):
            if action_id not in self._retry or self._retry[action_id].at_ns <= now:
                self._release(action_id, why)
        for action_id, entry in tuple(self._ledger.live.items()):
            if action_id not in self._ending:
                try:
                    self._look_after(action_id, entry, now)
                except (ActError, OSError) as error:
                    _log.warning("limit %d on %s cannot be watched: %s", action_id, entry.action.unit, error)

    def _look_after(self, action_id: int, entry: Entry, now_ns: int) -> None:
        undo = self._enforcer.undo
        if action_id in self._stood_down:
            if undo.is_elsewhere(entry):
                self._release(action_id, "its unit was started anew")
        elif self._leases.get(action_id, 0) <= now_ns:
            self._release(action_id, "its lease ended")
        elif (fate := undo.fate_of(entry)) is Fate.ENDED:
            self._release(action_id, "the process ended")
        elif fate is Fate.CHANGED:
            self._release(action_id, "somebody else changed it")
        elif fate is Fate.STRAINS:
            self._release(action_id, "it waits for memory: memory_high is too low for it")
        elif fate is Fate.GREW:
            self._follow(action_id, entry)

    def _follow(self, action_id: int, entry: Entry) -> None:
        found = self._enforcer.step(action_id, entry.action.limit)
        if isinstance(found, Refusal) and found.rule not in OLD_STEP_STANDS:
            self._release(action_id, found.reason)


def _in_order_of_release(ledger: Ledger) -> list[int]:
    # A user's manager may take its second for each question: whoever stops the agent waits for these last.
    return sorted(ledger.live, key=lambda action_id: ledger.live[action_id].action.user_uid is not None)


def boot_id_of(host: Host) -> str:
    """The id of this boot, from /proc/sys/kernel/random/boot_id."""
    text = text_of(host.proc / "sys/kernel/random/boot_id")
    if text is None:
        msg = f"{host.proc} has no boot id: is it a proc file system?"
        raise ActError(msg)
    return text.strip()


def release_everything(
    state_dir: Path, host: Host | None = None, *, managers: Managers | None = None, patience: Patience | None = None
) -> list[Released]:
    """Undo, without a daemon, all that the ledger holds: for `brainkernel release --all` and ExecStopPost.

    Raises ActError if a running agent holds the ledger: then it is to be asked. A result `FAILED` still stands and
    stays in the ledger.
    """
    host = host or Host()
    if not state_dir.is_dir():
        return []  # no agent ever wrote here
    ledger = Ledger(state_dir, boot_id_of(host))
    managers = managers or DbusManagers(host.run)
    try:
        undo = Undo(host, managers, ledger, routes_of(host, managers, ledger, patience or Patience()))
        entries = {action_id: ledger.live[action_id] for action_id in _in_order_of_release(ledger)}
        released = [Released(entry.action, undo.release(action_id, last=True), "asked") for action_id, entry in entries.items()]
        undo.reload()
        return released
    finally:
        managers.close()
        ledger.close()
