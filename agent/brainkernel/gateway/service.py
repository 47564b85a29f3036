"""The gateway process: what talks to language models and to whoever scrapes, and has no rights at all.

Threads: one reads the daemon's socket, some call models, one looks for models while there is none, and the HTTP
server has its own. The main thread waits for the end.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from brainkernel import metrics
from brainkernel.clock import Clock, SystemClock
from brainkernel.errors import ConfigError
from brainkernel.gateway import privileges
from brainkernel.gateway.daemon_link import DaemonLink
from brainkernel.gateway.llm.breaker import Breaker, BreakerState
from brainkernel.gateway.llm.budget import DAY_NS, HOUR_NS, MINUTE_NS, Budget
from brainkernel.gateway.llm.caller import Caller, Result, Slot
from brainkernel.gateway.llm.choice import Choice, Chooser
from brainkernel.gateway.llm.failure import Cause
from brainkernel.gateway.llm.groq import Groq
from brainkernel.gateway.llm.places import is_in_the_cloud
from brainkernel.gateway.llm.prices import Prices
from brainkernel.gateway.llm.spendingfile import SpendingFile
from brainkernel.gateway.notify.channels import read_urls
from brainkernel.gateway.notify.post import Post
from brainkernel.gateway.prometheus import SharedFigures, resident_bytes, text_of
from brainkernel.gateway.use import use_of
from brainkernel.gateway.web.readings import Readings
from brainkernel.gateway.web.server import HttpServer
from brainkernel.link.messages import Alerts, Answers, Ask, Hello, LocalModelOnly

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from brainkernel.config import Config, Http, Notify, Tracing
    from brainkernel.gateway.llm.backend import Backend
    from brainkernel.gateway.tracing import Tracer
    from brainkernel.gateway.web.token import Token

WORKERS = 2  # Groq's free tier allows some 13 questions a minute, and a local model has one set of cores
WAITING_MAX = 64  # as many as the daemon leaves open at once
LATE_GRACE_NS = 20 * 1_000_000_000  # a call may outlive the daemon's deadline by this: its answer is still worth caching
FIRST_LOOK_S, LONGEST_LOOK_S = 5.0, 60.0
FIGURES_TIMEOUT_S = 1.0
STATM = Path("/proc/self/statm")
USE_EVERY_S = 5.0  # each time wakes the daemon, too
# What the gateway itself counts; all else is the daemon's, and the zeros of our own Figures must not hide it.
OWN_METRICS = (
    metrics.LLM_SECONDS, metrics.LLM_CALLS, metrics.LLM_TOKENS, metrics.LLM_FAILURES, metrics.LLM_COST, metrics.CPU_SECONDS,
    metrics.TRACES, metrics.ALERT_MESSAGES, metrics.PROTOCOL_ERRORS, metrics.DAEMON_CONNECTED, metrics.RESIDENT_BYTES,
)  # fmt: skip


def serve(
    socket_path: Path,
    settings: Config,
    *,
    daemon_uid: int = 0,
    drop_privileges_to: str | int | None = None,
    dies_with_parent: int | None = None,
    state_dir: Path | None = None,
    notify_dirs: tuple[Path, ...] = (),
    token: Token | None = None,
    say: Callable[[str], None] | None = None,
) -> int:
    """Run the gateway until SIGTERM or SIGINT; the exit code.

    Call it in the main thread of a fresh process. As root it becomes `drop_privileges_to`, or nobody. Raises
    PermissionDeniedError where it would keep rights, ConfigError for an address that cannot be. `dies_with_parent` is the pid of the
    parent whose end shall be ours. In `state_dir` alerts wait for delivery, in `notify_dirs` are the channels' addresses;
    without `token` the dashboard is for this host alone.
    """
    speak = say or _say
    gateway = Gateway(socket_path, settings, daemon_uid=daemon_uid, state_dir=state_dir, notify_dirs=notify_dirs, token=token, say=speak)
    gateway.preload()
    user = privileges.DEFAULT_USER if drop_privileges_to is None else drop_privileges_to
    privileges.drop(user, dies_with_parent=dies_with_parent)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: gateway.stop.set())
    gateway.start()
    gateway.stop.wait()
    gateway.close()
    return 0


class Gateway:
    """The parts of the gateway and their threads. Nothing runs, and no port is open but HTTP's, before `start`."""

    def __init__(
        self,
        socket_path: Path,
        settings: Config,
        *,
        daemon_uid: int = 0,
        clock: Clock | None = None,
        state_dir: Path | None = None,
        notify_dirs: tuple[Path, ...] = (),
        token: Token | None = None,
        say: Callable[[str], None],
    ) -> None:
        """Make all clients and bind the HTTP port (a port that is taken is said, and done without)."""
        self.stop = threading.Event()
        self.figures = SharedFigures()
        self._clock = clock or SystemClock()
        self._settings = settings.llm
        self._say = say
        self._chooser = Chooser(settings.llm)
        self._choice = Choice((), "still looking")
        self._local_only = False
        self._slots: dict[tuple[str, str], Slot] = {}
        limits = {HOUR_NS: settings.llm.tokens_per_hour, DAY_NS: settings.llm.tokens_per_day}
        self._budget = Budget(limits, self._clock, SpendingFile(state_dir, self._clock, say))
        self._prices = Prices(settings.llm)
        self._caller = self._caller_of(self._choice)
        self._waiting: queue.Queue[tuple[Ask, int]] = queue.Queue(WAITING_MAX)
        self.http = self._http(settings.http, token)
        self.link = DaemonLink(
            socket_path,
            daemon_uid=daemon_uid,
            on_ask=self._take,
            on_order=self._obey,
            hello=self.hello,
            figures=self.figures,
            say=say,
            stop=self.stop,
        )
        self.readings = Readings(self.link.read, self.snapshots)
        self._tracer = self._tracer_of(settings.tracing)
        self.post = self._post(read_urls(notify_dirs, say), state_dir, settings.notify)

    def preload(self) -> None:
        """Load what would be loaded later, as long as files can still be read (the package may lie under /root)."""
        self._chooser.preload()
        self.metrics_text()

    def start(self) -> None:
        """Look once for models, so that the first greeting is right; then start all threads."""
        self._look_once()
        loops = [self.link.run, self._look, self._tell_use, *[self._work] * WORKERS]
        for loop in loops:
            threading.Thread(target=loop, name=loop.__name__.strip("_"), daemon=True).start()
        self.post.start(self.stop)
        if self._tracer is not None:
            threading.Thread(target=self._tracer.run, args=(self.stop,), name="tracing", daemon=True).start()
        if self.http is not None:
            self.http.start()
            self._say(f"metrics at {self.http.place}metrics")
            self._say(f"dashboard at {self.http.place}")

    def close(self) -> None:
        """Stop taking and giving; calls under way are left to end with the process."""
        self.stop.set()
        self.link.close()
        if self.http is not None:
            self.http.close()

    def hello(self) -> Hello:
        """What we are, for the daemon."""
        first = next(iter(self._allowed(self._choice)), None)
        return Hello(
            backend=first.name if first else "none",
            model=first.model[:512] if first else "",
            reason=f"an alert says to ask no cloud model; {self._choice.reason}"[:512] if self._local_only else self._choice.reason,
            listening=self.http.url if self.http else "",
        )

    def metrics_text(self) -> bytes:
        """The daemon's figures and our own in Prometheus' text; only our own while the daemon is away."""
        return text_of(self.snapshots())

    def snapshots(self) -> list[dict[str, Any]]:
        """The figures of the daemon, if it is there, and our own."""
        self._measure()
        own = self.figures.snapshot()
        daemons = self.link.daemon_figures(FIGURES_TIMEOUT_S)
        return [*([daemons] if daemons is not None else []), {metric.name: own[metric.name] for metric in OWN_METRICS}]

    def _measure(self) -> None:
        self.figures.set(metrics.RESIDENT_BYTES, resident_bytes(STATM, os.sysconf("SC_PAGE_SIZE")), "gateway")
        self.figures.set(metrics.CPU_SECONDS, time.process_time(), "gateway")

    # Over time our figures are kept by the daemon, beside its own.
    def _tell_use(self) -> None:
        while not self.stop.wait(USE_EVERY_S):
            self._measure()
            self.link.send(use_of(self.figures))

    def health(self) -> str:
        """One line: we run, and whether the daemon does."""
        return "ok" if self.link.connected else "ok, daemon away"

    def _post(self, urls: dict[str, tuple[str, ...]], state_dir: Path | None, settings: Notify) -> Post:
        return Post(urls, state_dir, settings, clock=self._clock, figures=self.figures, answer=self.link.send, say=self._say)

    def _http(self, settings: Http, token: Token | None) -> HttpServer | None:
        if not settings.listen and not settings.socket:
            return None
        unix_socket = Path(settings.socket) if settings.socket else None
        try:
            return HttpServer(settings.listen, self, token=token, unix_socket=unix_socket, say=self._say)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        except OSError as error:
            setting = "http.listen to another port" if error.filename != settings.socket else "http.socket to another path"
            self._say(f"no metrics: cannot listen on {error.filename}: {error.strerror}; set {setting}")
            return None

    def _tracer_of(self, settings: Tracing) -> Tracer | None:
        if not settings.endpoint:
            return None
        try:
            from brainkernel.gateway.tracing import Tracer  # noqa: PLC0415 # an extra
        except ImportError as error:
            self._say(f"no traces: {error}; pip install 'brainkernel-agent[otlp]', or leave tracing.endpoint empty")
            return None
        self._say(f"traces go to {settings.endpoint}")
        return Tracer(settings, self.readings, self.figures)

    def _take(self, ask: Ask) -> None:
        try:
            self._waiting.put_nowait((ask, self._clock.boot_ns()))
        except queue.Full:
            self.link.send(Answers(ask.id, failure=Cause.TIMEOUT.value))  # no worker will be free in time

    def _work(self) -> None:
        while True:
            ask, taken_ns = self._waiting.get()
            soft_ns = taken_ns + ask.deadline_ms * 1_000_000
            try:
                result = self._caller.ask(ask.questions, soft_ns=soft_ns, hard_ns=soft_ns + LATE_GRACE_NS)
            except Exception as error:  # noqa: BLE001 # a worker that dies in silence would be worse than any answer
                self._say(f"a question failed by a fault of the gateway: {type(error).__name__}: {error}")
                result = Result(failure=Cause.WRONG_SCHEMA.value)
            self.link.send(Answers(ask.id, result.verdicts, result.failure, result.usage))

    def _obey(self, order: Alerts | LocalModelOnly) -> None:
        match order:
            case Alerts():
                self.post.take(order)
            case LocalModelOnly():
                if order.on != self._local_only:
                    self._local_only = order.on
                    self._caller = self._caller_of(self._choice)
                    self._say("no cloud model is asked: an alert says so" if order.on else "cloud models may be asked again")
                    self.link.send(self.hello())

    # Looks again while there is no model or one of them fails: an Ollama may be started at any time.
    def _look(self) -> None:
        pause_s = FIRST_LOOK_S
        while not self.stop.wait(pause_s):
            well = self._content() or self._look_once()
            pause_s = FIRST_LOOK_S if well else min(pause_s * 2, LONGEST_LOOK_S)

    def _look_once(self) -> bool:
        choice = self._chooser.choose()
        if choice == self._choice:
            return False
        self._choice = choice
        self._caller = self._caller_of(choice)
        self._say(f"LLM: {choice.backends[0].name if choice.backends else 'none'}: {choice.reason}")
        self.link.send(self.hello())
        return True

    def _content(self) -> bool:
        if self._settings.backend == "none":
            return True
        slots = self._caller.slots
        return bool(slots) and all(slot.breaker.state is BreakerState.CLOSED for slot in slots)

    def _caller_of(self, choice: Choice) -> Caller:
        slots = [self._slots.setdefault((backend.name, backend.model), self._slot_of(backend)) for backend in self._allowed(choice)]
        return Caller(slots, self._budget, prices=self._prices, clock=self._clock, figures=self.figures, wait=self.stop.wait)

    def _allowed(self, choice: Choice) -> list[Backend]:
        return [b for b in choice.backends if not (self._local_only and (isinstance(b, Groq) or is_in_the_cloud(b.model)))]

    def _slot_of(self, backend: Backend) -> Slot:
        rate = self._settings.groq_tokens_per_minute if isinstance(backend, Groq) else 0
        return Slot(backend, Breaker(self._clock), Budget({MINUTE_NS: rate}, self._clock) if rate else None)


def _say(text: str) -> None:
    print(f"gateway: {text}", file=sys.stderr, flush=True)  # noqa: T201 # the journal, or the terminal of `brainkernel run`
