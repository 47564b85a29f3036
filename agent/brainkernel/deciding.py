"""The circumstances of each decision, gathered at the moment it is made; the decision itself is pure and in `decide`."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from brainkernel.decide.approvals import Consent
from brainkernel.decide.decision import Circumstances, decide
from brainkernel.decide.safety import Surroundings, objections_of
from brainkernel.model import DecisionKind, Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.clock import Clock
    from brainkernel.decide.approvals import Approvals
    from brainkernel.effective import Standards
    from brainkernel.enrich.table import ProcessTable
    from brainkernel.learn.experience import Experience
    from brainkernel.learn.strategy import Settings
    from brainkernel.model import Decision, Identity, ProcessKey, Refusal, Standing, Suspect, Symptom, Verdict
    from brainkernel.pausing import Switch

T = TypeVar("T")

NS_PER_S = 1_000_000_000
MINUTE_NS = 60_000_000_000


class _Stopwatch:
    # Adds up what the parts of the safety check take: looking at the process, and asking the rules.
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.ns = 0

    def timed(self, work: Callable[[], T]) -> T:
        started_ns = self._clock.boot_ns()
        result = work()
        self.ns += max(0, self._clock.boot_ns() - started_ns)
        return result


class Deciding:
    """The `decide` stage with its surroundings. `limits_standing` is told by whoever tends the limits."""

    def __init__(
        self,
        *,
        standards: Callable[[Identity], Standards],
        clock: Clock,
        switch: Switch,
        experience: Experience,
        approvals: Approvals,
        strategy: Callable[[], Settings],
        table: ProcessTable,
        standing_of: Callable[[ProcessKey], Standing | None],
        own: frozenset[int],
        next_id: Callable[[], int],
        lease_ns_for: Callable[[Suspect], int],
        limits_standing: Callable[[], int],
        was_limited: Callable[[Suspect], bool],
    ) -> None:
        self._standards = standards
        self._clock = clock
        self._switch = switch
        self._experience = experience
        self._approvals = approvals
        self._strategy = strategy
        self._table = table
        self._standing_of = standing_of
        self._own = own
        self._next_id = next_id
        self._lease_ns_for = lease_ns_for
        self._limits_standing = limits_standing
        self._was_limited = was_limited
        self._acted_ns: deque[int] = deque()

    def decide(self, suspect: Suspect, verdict: Verdict, symptom: Symptom | None) -> Decision:
        """Decide about one suspect now. Only where somebody is hurt is the process looked at."""
        now_ns = self._clock.boot_ns()
        safety = _Stopwatch(self._clock)
        standards = self._standards(suspect.identity)
        circumstances = Circumstances(
            id=self._next_id(),
            time_ns=self._clock.wall_ns(),
            decided_ns=now_ns,
            symptom=symptom,
            surroundings=safety.timed(lambda: self._surroundings(suspect, now_ns)) if symptom else None,
            learned=self._learned(suspect, verdict, symptom, standards) if symptom else None,
            throttle_threshold=self._strategy().throttle_threshold,
            consent=self._approvals.consent(suspect, verdict.category, now_ns) if symptom else Consent.ASK,
            lease_ns=self._lease_ns_for(suspect) if symptom else 0,
            first_time=symptom is not None and standards.config.approvals.first_time and not self._was_limited(suspect),
            enforce=self._switch.enforces,
            version=standards.number,
        )
        objections = lambda surroundings, rules: safety.timed(lambda: objections_of(surroundings, rules))  # noqa: E731 # named for the call
        decision = decide(suspect, verdict, circumstances, standards.config, objections)
        if symptom:
            decision = replace(decision, spans=(Span(stage="safety", ns=safety.ns),))
        if decision.kind is DecisionKind.PENDING:
            self._approvals.ask(decision, now_ns, int(standards.config.approvals.timeout_s * NS_PER_S))
        if decision.acts:
            self._acted_ns.append(now_ns)
        return decision

    # What was learned of this very program goes before what was learned of programs like it.
    def _learned(self, suspect: Suspect, verdict: Verdict, symptom: Symptom, standards: Standards) -> Refusal | None:
        objection = self._experience.objection(suspect.identity, self._clock.wall_ns())
        return objection or standards.caution.objection(suspect, verdict, symptom)

    def _surroundings(self, suspect: Suspect, now_ns: int) -> Surroundings:
        while self._acted_ns and now_ns - self._acted_ns[0] > MINUTE_NS:
            self._acted_ns.popleft()
        return Surroundings(
            suspect=suspect,
            standing=self._standing_of(suspect.key),
            ancestor_exes=tuple(known.exe for known in self._table.ancestors(suspect.key)),
            own=self._own,
            limits_last_minute=len(self._acted_ns),
            limits_active=self._limits_standing(),
        )
