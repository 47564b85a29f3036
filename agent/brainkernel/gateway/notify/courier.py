"""One courier per channel: takes what waits in the outbox, folds it into few messages, and does not give up soon."""

from __future__ import annotations

import random
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from brainkernel.metrics import ALERT_MESSAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from brainkernel.clock import Clock
    from brainkernel.gateway.notify.outbox import Item, Outbox
    from brainkernel.gateway.notify.quiet import QuietHours
    from brainkernel.metrics import Figures

NS_PER_S = 1_000_000_000
MINUTE_NS = 60 * NS_PER_S
LINES_MAX = 20  # of one message: what a person reads on a telephone
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 2.0, 600.0
GIVE_UP_NS = 3 * 86_400 * NS_PER_S  # news older than that is none
LINGER_S = 0.3  # troubles come in flocks
LONGEST_QUIET_LOOK_S = 600.0  # in quiet hours: the clock may be set
_SEVERITIES = ("critical", "error", "warning", "info")


class Sender(Protocol):
    """Whoever can send."""

    def send(self, title: str, body: str, kind: str) -> bool:
        """Send one message; `kind` is a severity or "resolved". False if that failed."""
        ...


@dataclass(frozen=True, slots=True)
class Letter:
    """One message that is to be sent, and what it carries."""

    title: str
    body: str
    kind: str
    items: tuple[Item, ...]


class Courier:
    """Empties one channel's part of the outbox in a thread of its own."""

    def __init__(
        self,
        channel: str,
        sender: Sender | None,
        outbox: Outbox,
        *,
        per_minute: int,
        quiet: QuietHours,
        host: str,
        clock: Clock,
        figures: Figures,
        told: Callable[[str, bool, str], None],
        say: Callable[[str], None],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`sender` is None where the channel is not configured; `told` hears of each test and of what is given up."""
        self._channel = channel
        self._sender = sender
        self._outbox = outbox
        self._per_minute = per_minute
        self._quiet = quiet
        self._host = host
        self._clock = clock
        self._figures = figures
        self._told = told
        self._say = say
        self._jitter = jitter
        self._sent_ns: deque[int] = deque()
        self._failures = 0
        self._held: dict[int, tuple[int, str]] = {}  # number of an item: since when, and why
        self._not_before_ns = 0
        self._news = threading.Event()

    def wake(self) -> None:
        """There is news in the outbox."""
        self._news.set()

    def run(self, stop: threading.Event) -> None:
        """Deliver until stopped."""
        wait_s: float | None = 0.0
        while not stop.is_set():
            self._news.wait(wait_s)
            stop.wait(LINGER_S)
            self._news.clear()
            try:
                wait_s = self.round()
            except Exception as error:  # noqa: BLE001 # a courier that dies in silence would be worse than any fault
                self._say(f"channel {self._channel}: a fault of the gateway: {type(error).__name__}")
                wait_s = LONGEST_BACKOFF_S

    def round(self) -> float | None:
        """Send what may be sent now; returns in how many seconds to come again at the latest, None if nothing waits."""
        items = self._tested(self._outbox.waiting(self._channel))
        self._held = {item.number: self._held[item.number] for item in items if item.number in self._held}  # some were overtaken
        if not items:
            return None
        if self._sender is None:
            self._give_up(items, f"no channel {self._channel} is configured: see notify.d in README.md", "not_configured")
            return None
        now_ns = self._clock.boot_ns()
        if now_ns < self._not_before_ns:
            return (self._not_before_ns - now_ns) / NS_PER_S
        urgent = self._urgent(items)
        for letter in self.letters(urgent):
            if (wait_ns := self._rate_wait_ns(now_ns)) > 0:
                self._hold(letter.items, f"at most {self._per_minute} messages a minute")
                return wait_ns / NS_PER_S
            if not self._deliver(letter, now_ns):
                return (self._not_before_ns - now_ns) / NS_PER_S
        return min(self._quiet.left_s(self._clock.wall_ns()), LONGEST_QUIET_LOOK_S) if len(urgent) < len(items) else None

    def _urgent(self, items: list[Item]) -> list[Item]:
        # In quiet hours what is critical, and the news that it is over.
        if not self._quiet.left_s(self._clock.wall_ns()):
            return items
        urgent = [item for item in items if item.severity == "critical"]
        if len(urgent) < len(items):
            self._hold([item for item in items if item.severity != "critical"], "quiet hours")
        return urgent

    def _hold(self, items: Sequence[Item], why: str) -> None:
        fresh = [item for item in items if item.number not in self._held]
        self._figures.add(ALERT_MESSAGES, self._channel, "held_back", by=len(fresh))
        for item in fresh:
            self._held[item.number] = (self._clock.boot_ns(), why)

    def letters(self, items: Sequence[Item]) -> list[Letter]:
        """Fold all that waits into at most two messages: bad news, and what is over."""
        over = [i for i in items if i.state == "resolved"]
        bad = [i for i in items if i.state != "resolved"]
        return [self._letter(group, kind) for group, kind in ((bad, ""), (over, "resolved")) if group]

    def _letter(self, items: list[Item], kind: str) -> Letter:
        ordered = sorted(items, key=lambda i: (_SEVERITIES.index(i.severity), i.number))
        worst = ordered[0]
        lines = [_line_of(item) for item in ordered[:LINES_MAX]]
        rest = ordered[LINES_MAX:]
        if rest:
            lines.append(f"... and {len(rest)} more, {sum(i.count for i in rest)} occurrences")
        if held := [self._held[item.number] for item in items if item.number in self._held]:
            since_ns, why = min(held)
            lines.append(f"({len(held)} of them held back for up to {_duration(self._clock.boot_ns() - since_ns)}: {why})")
        what = "resolved" if kind else worst.severity.upper()
        title = f"[{what}] {worst.rule} on {self._host}" + (f" and {len(items) - 1} more" if len(items) > 1 else "")
        return Letter(title, "\n".join(lines), kind or worst.severity, tuple(items))

    def _tested(self, items: list[Item]) -> list[Item]:
        # A test is sent by itself, once, and its result told: somebody waits for it.
        for item in (i for i in items if i.state == "test"):
            if self._sender is None:
                self._give_up([item], f"no channel {self._channel} is configured: see notify.d in README.md", "not_configured")
                continue
            sent = self._sender.send(f"[test] {item.rule} on {self._host}", _line_of(item), "info")
            self._figures.add(ALERT_MESSAGES, self._channel, "sent" if sent else "failed")
            self._outbox.remove([item])
            self._told(item.id, sent, "sent" if sent else "the service did not take it: address, certificate, network?")
        return [i for i in items if i.state != "test"]

    def _deliver(self, letter: Letter, now_ns: int) -> bool:
        assert self._sender is not None  # noqa: S101 # the caller looked
        if self._sender.send(letter.title, letter.body, letter.kind):
            self._remove(letter.items)
            self._sent_ns.append(now_ns)
            self._figures.add(ALERT_MESSAGES, self._channel, "sent")
            if self._failures:
                self._say(f"channel {self._channel} works again after {self._failures} failures")
            self._failures = 0
            return True
        self._figures.add(ALERT_MESSAGES, self._channel, "failed")
        if self._failures == 0:
            self._say(f"channel {self._channel}: a message was not taken; it is kept and tried again")
        pause_s = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2**self._failures) * (0.75 + self._jitter() / 2)
        self._failures = min(self._failures + 1, 20)
        self._not_before_ns = self._clock.boot_ns() + int(pause_s * NS_PER_S)
        old = [i for i in letter.items if self._clock.wall_ns() - i.taken_ns > GIVE_UP_NS]
        if old:
            self._give_up(old, "given up after three days", "given_up")
        return False

    def _give_up(self, items: list[Item], why: str, result: str) -> None:
        self._remove(items)
        self._figures.add(ALERT_MESSAGES, self._channel, result, by=len(items))
        for item in items:
            self._told(item.id, False, why)

    def _remove(self, items: Sequence[Item]) -> None:
        self._outbox.remove(items)
        for item in items:
            self._held.pop(item.number, None)

    def _rate_wait_ns(self, now_ns: int) -> int:
        while self._sent_ns and now_ns - self._sent_ns[0] >= MINUTE_NS:
            self._sent_ns.popleft()
        return 0 if len(self._sent_ns) < self._per_minute else self._sent_ns[0] + MINUTE_NS - now_ns


def _duration(ns: int) -> str:
    return f"{ns // NS_PER_S} s" if ns < 10 * MINUTE_NS else f"{ns // MINUTE_NS} min"


def _line_of(item: Item) -> str:
    times = f" ({item.count} times)" if item.count > 1 else ""
    return f"{item.severity} {item.rule}: {item.text}{times}"
