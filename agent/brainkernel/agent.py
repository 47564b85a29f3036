"""The agent without its lifecycle: what is done when a descriptor is readable, a tick is due, or a person asks."""

from __future__ import annotations

import logging
import select
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from brainkernel import __version__, metrics, status
from brainkernel.daemon import Watched
from brainkernel.link import control

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.act.limiter import Limiter
    from brainkernel.alerts import Alerting
    from brainkernel.asking import Asking
    from brainkernel.clock import Clock
    from brainkernel.control import ControlServer
    from brainkernel.foreseeing import Foreseeing
    from brainkernel.healing import Healing
    from brainkernel.judging import Judging
    from brainkernel.limits import Limits
    from brainkernel.link.asker import Asker
    from brainkernel.link.messages import Hello
    from brainkernel.measuring import Measuring
    from brainkernel.metrics import Figures
    from brainkernel.model import ExamResult
    from brainkernel.oversight import Oversight
    from brainkernel.pausing import Switch
    from brainkernel.processes import Processes
    from brainkernel.report import Report
    from brainkernel.sense.loader import Chosen
    from brainkernel.sense.pressure import Pressure
    from brainkernel.starts import Starts
    from brainkernel.store import Store
    from brainkernel.watch import Watch

LOG = logging.getLogger(__name__)
MODES = ("observe", "enforce", "paused")
ANSWER_DUE_S = 0.02  # while the LLM thinks: its deadline is kept to this
DRAIN_DUE_S = 0.25  # for what the kernel does not wake us for, while there is some
QUIET_DUE_S = 1.0  # while there is none: on an idle host each wakeup costs more than what it finds
LAST_DRAINS_MAX = 64  # at the end; whoever starts programs faster than we read them must not keep us here
DRAIN_MAX = 512  # events before the loop looks at everything else again


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What `composition` put together."""

    clock: Clock
    chosen: Chosen
    starts: Starts
    watch: Watch
    healing: Healing
    asking: Asking
    asker: Asker
    limiter: Limiter
    limits: Limits
    pressure: Pressure
    store: Store
    judging: Judging
    oversight: Oversight
    figures: Figures
    switch: Switch
    alerting: Alerting
    processes: Processes
    measuring: Measuring
    foreseeing: Foreseeing
    report: Report
    reload: Callable[[], None]
    improve: Callable[[], None]  # learn a little, and see to the versions
    flush: Callable[[], None]  # what was met goes to the store
    close: Callable[[], None]
    kernel: str
    notices: list[str]


class Agent:
    """Implements `daemon.Work`, and what the commands of the control socket need."""

    def __init__(self, parts: Parts) -> None:
        self._p = parts
        self._is_behind = False  # more events may wait
        self._is_quiet = True  # nothing came since the last turn
        self._started_ns = parts.clock.boot_ns()
        self._greeted: Hello | None = None
        self._last: control.Counts | None = None  # once the loader is closed
        self.control: ControlServer | None = None

    def sources(self) -> list[Watched]:
        """The loader, the gateway's socket, the results of `act`, the pressure trigger and the control socket."""
        found = [
            Watched(self._p.chosen.loader, self._drain),
            Watched(self._p.asker, self._p.asker.on_readable),
            Watched(self._p.limiter, self._p.limits.take_results),
        ]
        if self._p.pressure.trigger is not None:
            found.append(Watched(self._p.pressure.trigger, self._on_pressure, select.EPOLLPRI))
        if self.control is not None:
            found.append(Watched(self.control, self.control.on_readable))
        return found

    def between(self) -> float:
        """Take what waits without a wakeup, and go on with those about whom the LLM answered."""
        if self._p.switch.look():
            self._heed_pause_file()
        self._drain()
        quiet, self._is_quiet = self._is_quiet, True
        self._p.healing.step()
        self._p.starts.collect()
        if self._p.asker.hello is not self._greeted:
            self._greet(self._p.asker.hello)
        if self._is_behind:
            return 0
        if self._p.asking.busy:
            return ANSWER_DUE_S
        return QUIET_DUE_S if quiet and not self._p.healing.busy else DRAIN_DUE_S

    def tick(self) -> None:
        """Sample, judge, tend the limits, count, and commit."""
        self._p.watch.tick()
        self._p.healing.tick()
        if self.control is not None:
            self.control.expire()
        self._count()
        self._p.oversight.tick()
        self._p.judging.tick(self._p.chosen.loader.counters().lost)
        self._p.alerting.tick()
        self._p.measuring.tick()
        self._p.foreseeing.tick()
        self._p.improve()
        self._p.flush()
        self._p.store.flush()

    def reload(self) -> None:
        """Read the configuration again."""
        self._p.reload()

    def pause(self) -> None:
        """Stop acting at once; limits that stand are taken back."""
        self.set_paused(paused=True)

    def headline(self) -> str:
        """One line for `systemctl status`."""
        return status.headline_of(self._p.switch.mode, self._counts(), paused=self._p.switch.stopped)

    def release_all(self, deadline_s: float) -> bool:
        """End every limit; False if some still stand."""
        left = self._p.limiter.release_all("the agent stops", deadline_s)
        self._p.limits.take_results()
        return left == 0

    def close(self) -> None:
        """Count and write for the last time, and let go of everything."""
        self._drain_all()
        self._p.starts.close(self._p.chosen.loader.counters().exec.suppressed)
        self._count()
        self._last = self._counts()
        self._p.flush()
        if self.control is not None:
            self.control.close()
        self._p.asker.close()
        if self._p.pressure.trigger is not None:
            self._p.pressure.trigger.close()
        self._p.limiter.close()
        self._p.measuring.close()
        self._p.foreseeing.save()
        self._p.store.close()
        self._p.close()

    # What follows is asked for on the control socket.

    def status(self) -> control.Status:
        """How the agent fares."""
        hello = self._p.asker.hello
        self._count()
        return control.Status(
            version=__version__,
            mode=self._p.switch.mode,
            paused=self._p.switch.stopped,
            loader=self._p.chosen.loader.name,
            loader_reason=self._p.chosen.why,
            uptime_s=(self._p.clock.boot_ns() - self._started_ns) / 1e9,
            kernel=self._p.kernel,
            llm=self._p.asking.use(),
            counts=self._counts(),
            stages=status.stages_of(self._p.figures),
            listening=hello.listening if hello else "",
            notices=tuple(self._p.notices),
            resident_bytes=status.resident_bytes(),
            quality=status.quality_of(self._p.judging.rates),
            stability=status.stability_of(self._p.judging.stability),
            budgets=status.budgets_of(self._p.judging.budgets),
            strategy=self._p.oversight.strategy(),
            latencies=status.latencies_of(self._p.judging.latencies),
            cache=status.cache_of(self._p.figures),
        )

    def summary(self) -> control.Summary:
        """What a run in the foreground tells at its end."""
        return control.Summary(
            seconds=(self._p.clock.boot_ns() - self._started_ns) / 1e9,
            counts=self._last or self._counts(),
            stages=status.stages_of(self._p.figures),
            limits=self._p.limits.seen(),
        )

    def pause_for_alert(self) -> str:
        """Stop acting because an alert says so."""
        if self._p.switch.paused:
            return "paused already"
        self.set_paused(paused=True)
        self._p.switch.paused_by_alert = True
        return "paused: nothing is limited until the alert resolves, or `brainkernel resume`"

    def resume_after_alert(self) -> str:
        """Act again, unless a person paused or resumed meanwhile."""
        if not (self._p.switch.paused and self._p.switch.paused_by_alert):
            return "left as a person set it"
        self.set_paused(paused=False)
        return "resumed"

    @property
    def paused(self) -> bool:
        """Whether limits are paused, by a person, an alert or the file."""
        return self._p.switch.stopped

    def process_rows(self, limit: int) -> control.ProcessRows:
        """What runs now and what is thought of it."""
        rows = self._p.processes.rows(self._p.watch.window, limit)
        return msgspec.structs.replace(rows, mode=self._p.switch.mode, paused=self._p.switch.stopped)

    def alert_states(self) -> control.AlertStates:
        """How the alert rules stand."""
        return self._p.alerting.states()

    def alert_test(self, name: str, done: Callable[[control.AlertTested], None]) -> None:
        """Send a test message by each channel of a rule. Raises UsageError where there is no such rule."""
        self._p.alerting.test(name, done)

    def set_paused(self, *, paused: bool) -> control.Acting:
        """Stop acting and take back what stands, or act again."""
        self._p.switch.paused = paused
        self._p.switch.paused_by_alert = False
        LOG.info("paused" if paused else "resumed")
        if paused:
            self._p.limits.release_standing("the agent was paused")
        return control.Acting(self._p.switch.mode, self._p.switch.stopped, self._p.switch.why_stopped)

    def _heed_pause_file(self) -> None:
        held = self._p.switch.held
        self._p.report.notice(f"{self._p.switch.pause_file} {'is there: nothing is limited until it is removed' if held else 'is gone'}")
        if held:
            self._p.limits.release_standing("the agent was paused")

    def set_mode(self, mode: str) -> None:
        """Follow a configuration that was read again; limits that stand are taken back when it says to observe."""
        if mode == self._p.switch.mode:
            return
        self._p.switch.mode = mode
        LOG.info("the mode is %s now", mode)
        if not self._p.switch.enforces:
            self._p.limits.release_standing(f"the mode is {mode} now")

    def undo(self, decision_id: int, done: Callable[[control.Releases], None]) -> None:
        """Take one limit back because a person says so."""
        self._p.limits.undo(decision_id, done)

    def release_all_now(self, done: Callable[[control.Releases], None]) -> None:
        """Take all limits back because a person says so."""
        self._p.limits.release_all(done)

    def examined(self, result: ExamResult) -> control.Examined:
        """Keep how a model did in its exam; its next verdict may act, or not, accordingly."""
        self._p.judging.examined(result)
        return control.Examined(self._p.asking.examined(result))

    def _on_pressure(self) -> None:
        if self._p.pressure.fired():
            self._p.watch.tick()  # the window begins now, not at the next tick

    def _greet(self, hello: Hello | None) -> None:
        self._greeted = hello
        if hello is None:
            self._p.report.notice("the gateway went away: rules, package knowledge and earlier verdicts decide alone")
            return
        model = f" {hello.model}" if hello.model else ""
        self._p.report.notice(f"LLM {hello.backend}{model}: {hello.reason}")

    def _drain(self) -> None:
        events = self._p.chosen.loader.drain(DRAIN_MAX)
        self._is_behind = len(events) >= DRAIN_MAX
        self._is_quiet = self._is_quiet and not events
        for event in events:
            self._p.starts.on_event(event)

    def _drain_all(self) -> None:
        for _ in range(LAST_DRAINS_MAX):
            self._drain()
            if not self._is_behind:
                return

    def _counts(self) -> control.Counts:
        return status.counts_of(self._p.figures, self._p.chosen.loader.counters(), self._p.asking.calls)

    def _count(self) -> None:
        figures = self._p.figures
        status.export_kernel(figures, self._p.chosen.loader.counters())
        figures.set(metrics.RESIDENT_BYTES, status.resident_bytes(), "daemon")
        for mode in MODES:
            figures.set(metrics.MODE, float(mode == self._p.switch.in_force), mode)
