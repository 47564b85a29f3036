"""How well the agent decides, gathered from all that it reports: it is told like any other reader, and counts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from brainkernel import metrics
from brainkernel.learn import quality
from brainkernel.learn.labels import Labels
from brainkernel.learn.latency import Breach, LatencyMonitor, Use
from brainkernel.learn.quality import Evaluator, Measure, Rate
from brainkernel.learn.stability import Stability, StabilityIndex
from brainkernel.learn.strategy import Change, Strategist, Strategy
from brainkernel.learn.strategy import Figures as StrategyFigures
from brainkernel.learn.windows import Latencies, Latency
from brainkernel.model import AuditEntry, ReleaseResult
from brainkernel.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from brainkernel.clock import Clock
    from brainkernel.config import Config
    from brainkernel.metrics import Figures
    from brainkernel.model import Action, Decision, ExamResult, Exec, Feedback, Judgement, Outcome, Refusal

PUBLISH_EVERY_NS = 10_000_000_000
TELL_EVERY_NS = 60_000_000_000  # of one budget's breaches; the others of a minute are counted


class Judging(Report):
    """Keeps the figures of quality and stability. `keep` puts a judgement where a restart finds it, and where it is learned from."""

    def __init__(
        self,
        *,
        config: Config,
        clock: Clock,
        figures: Figures,
        keep: Callable[[Decision, Judgement], None],
        log: Callable[[AuditEntry], None],
        tell: Callable[[str], None],
        breached: Callable[[Breach], None],
        earlier: Iterable[Judgement] = (),
    ) -> None:
        self._config = config
        self.labels = Labels()
        self._clock = clock
        self._figures = figures
        self._keep = keep
        self._log = log
        self._tell = tell
        self._breached = breached
        self.strategist = Strategist()
        self._evaluator = Evaluator(config.quality)
        self._stability = Stability()
        self._latency = LatencyMonitor()
        self._latencies = Latencies()
        self._told: dict[str, int] = {}  # when each budget's breach was told last
        self._untold: dict[str, tuple[Breach, int]] = {}  # of each budget: the latest one, and how many
        self._standing: set[int] = set()
        self._lost = 0
        self._publish_ns = 0
        for judgement in earlier:
            self._evaluator.add(judgement)

    def configure(self, config: Config) -> None:
        """Take a new configuration; votes already counted keep the weight they had."""
        self._config, self._evaluator.config = config, config.quality

    def examined(self, result: ExamResult) -> None:
        """A language model sat its exam."""
        self._evaluator.examined(result)

    def said(self, decision: Decision, feedback: Feedback) -> None:
        """A person said something about a decision."""
        self._figures.add(metrics.FEEDBACK, "good" if feedback.good else "bad")
        self._take(decision, quality.judgement_of_feedback(decision, feedback))

    def undone(self, decision: Decision) -> None:
        """A person took a limit back."""
        self._stability.undone(self._clock.boot_ns())
        if (judgement := quality.judgement_of_undo(decision, self._clock.wall_ns())) is not None:
            self._take(decision, judgement)

    def tick(self, events_lost: int) -> None:
        """Once per sample: see how the host fares, and publish now and then."""
        now_ns = self._clock.boot_ns()
        run_queue_p99_s = self._figures.value(metrics.RUN_QUEUE_SECONDS, "0.99")
        self._stability.load(self._figures.value(metrics.PRESSURE), run_queue_p99_s, now_ns)
        if events_lost > self._lost:
            self._stability.failed(now_ns)
        self._lost = events_lost
        if now_ns >= self._publish_ns:
            self._publish_ns = now_ns + PUBLISH_EVERY_NS
            for breach in self._latency.check(now_ns):
                self._on_breach(breach)
            self._tell_of_rests(now_ns)
            rates = self.rates
            self._adapt(rates, now_ns)
            self._publish(rates)

    def force(self, strategy: Strategy | None, until_ns: int | None = None) -> None:
        """Put a strategy in force until a CLOCK_BOOTTIME (None: until told); None follows the rules again."""
        if change := self.strategist.force(strategy, self._clock.boot_ns(), until_ns=until_ns):
            self._on_change(change)

    def demand(self, strategy: Strategy | None) -> None:
        """Put a strategy in force for alerts, or no longer; one that a person forced stays before it."""
        if change := self.strategist.demand(strategy, self._clock.boot_ns()):
            self._on_change(change)

    @property
    def rates(self) -> tuple[Rate, ...]:
        """The figures of quality now."""
        return self._evaluator.rates(self._clock.wall_ns())

    @property
    def stability(self) -> StabilityIndex:
        """The index of stability now."""
        return self._stability.index(self._clock.boot_ns())

    @property
    def budgets(self) -> tuple[Use, ...]:
        """How the latency budgets are kept."""
        return self._latency.uses(self._clock.boot_ns())

    @property
    def latencies(self) -> tuple[Latency, ...]:
        """How long each stage, tier and backend takes, over each window."""
        return self._latencies.figures(self._clock.boot_ns())

    def event(self, event: Exec, *, passed: bool) -> None:
        """Starts say nothing of quality."""

    def decision(self, decision: Decision) -> None:
        """Hold its times against the budgets."""
        total_ns = next((span.ns for span in decision.spans if span.stage == "total"), None)
        if total_ns is not None:
            self._figures.observe(metrics.DECISION_SECONDS, total_ns / 1e9, decision.verdict.tier.value)
        if (judgement := self.labels.judgement(decision, self._config.policy, self._clock.wall_ns())) is not None:
            self._take(decision, judgement)
        self._latencies.add(decision, self._clock.boot_ns())
        for breach in self._latency.add(decision, self._clock.boot_ns()):
            self._on_breach(breach)

    def action(self, decision: Decision, action: Action) -> None:
        """Count a limit once, not each of its steps."""
        if action.id not in self._standing:
            self._standing.add(action.id)
            if (act := next((span for span in decision.spans if span.stage == "act"), None)) is not None:
                self._latencies.acted(act.ns, self._clock.boot_ns())
            self._stability.limited(self._clock.boot_ns())

    def not_applied(self, decision: Decision, refusal: Refusal) -> None:
        """A refusal at the last moment is caution, not an error."""

    def released(self, action: Action, result: ReleaseResult, _why: str) -> None:
        """A limit that cannot be ended is an error of ours."""
        self._standing.discard(action.id)
        if result is ReleaseResult.FAILED:
            self._stability.failed(self._clock.boot_ns())

    def outcome(self, decision: Decision, outcome: Outcome) -> None:
        """The measured effect is a weak word about the limit."""
        self._take(decision, quality.judgement_of_effect(outcome, self._clock.wall_ns()))

    def notice(self, text: str) -> None:
        """Notices are for people who are there."""

    def _take(self, decision: Decision, judgement: Judgement) -> None:
        judgement = replace(judgement, version=decision.version)
        self._evaluator.add(judgement)
        self._keep(decision, judgement)

    def _adapt(self, rates: tuple[Rate, ...], now_ns: int) -> None:
        wrong = next(r for r in rates if r.measure is Measure.FALSE_POSITIVE and r.window == "24h")
        figures = StrategyFigures(
            mean_decision_ms=self._latency.mean_ms("total", now_ns), false_positive_rate=wrong.value, stability=self.stability.value
        )
        if change := self.strategist.consider(figures, now_ns):
            self._on_change(change)
            self._log(AuditEntry(time_ns=self._clock.wall_ns(), deed="strategy", text=f"{change.before} -> {change.after}: {change.why}"))

    def _on_change(self, change: Change) -> None:
        self._figures.add(metrics.STRATEGY_CHANGES, change.after.value, change.by.value)
        self._tell(f"strategy {change.before} -> {change.after}: {change.why}")

    def _on_breach(self, breach: Breach) -> None:
        self._figures.add(metrics.BUDGET_BREACHES, breach.budget, "window" if breach.by_window else "decision")
        _, more = self._untold.pop(breach.budget, (breach, 0))
        now_ns, told_ns = self._clock.boot_ns(), self._told.get(breach.budget)
        if told_ns is not None and now_ns - told_ns < TELL_EVERY_NS:
            self._untold[breach.budget] = (breach, more + 1)
        else:
            self._tell_breach(breach, more, now_ns)

    # When a burst has ended nothing more comes that could tell of its last ones.
    def _tell_of_rests(self, now_ns: int) -> None:
        for budget, (breach, count) in list(self._untold.items()):
            if now_ns - self._told[budget] >= TELL_EVERY_NS:
                del self._untold[budget]
                self._tell_breach(breach, count - 1, now_ns)

    def _tell_breach(self, breach: Breach, more: int, now_ns: int) -> None:
        self._told[breach.budget] = now_ns
        self._breached(replace(breach, text=f"{breach.text}; {more} more since the last such note") if more else breach)

    def _publish(self, rates: tuple[Rate, ...]) -> None:
        figures = self._figures
        figures.clear(metrics.BUDGET_SECONDS)
        for use in self.budgets:
            for name, ms in (("0.5", use.p50_ms), ("0.95", use.p95_ms), ("0.99", use.p99_ms)):
                if ms is not None:
                    figures.set(metrics.BUDGET_SECONDS, ms / 1e3, use.budget.name, name)
        figures.clear(metrics.LATENCY)
        for one in self._latencies.figures(self._clock.boot_ns(), ("5m",)):
            for name, ms in (("mean", one.mean_ms), ("0.5", one.p50_ms), ("0.95", one.p95_ms), ("0.99", one.p99_ms)):
                figures.set(metrics.LATENCY, ms / 1e3, one.of, one.name, name)
        for strategy in Strategy:
            figures.set(metrics.STRATEGY, float(strategy is self.strategist.strategy), strategy.value)
        figures.set(metrics.STABILITY, self.stability.value)
        figures.clear(metrics.QUALITY)
        figures.clear(metrics.QUALITY_BOUND)
        for rate in rates:
            figures.set(metrics.QUALITY_SAMPLES, rate.samples, rate.measure.value, rate.window)
            if rate.value is not None and rate.low is not None and rate.high is not None:
                figures.set(metrics.QUALITY, rate.value, rate.measure.value, rate.window)
                figures.set(metrics.QUALITY_BOUND, rate.low, rate.measure.value, rate.window, "low")
                figures.set(metrics.QUALITY_BOUND, rate.high, rate.measure.value, rate.window, "high")
