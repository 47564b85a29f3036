"""One limit from decision to read-back, and its steps. Blocking; `Limiter` runs it on its own thread."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from brainkernel.act import cgroupfs
from brainkernel.act.bus import BusError
from brainkernel.act.choice import route_of
from brainkernel.act.place import read_place
from brainkernel.act.procfs import lock_process, read_members
from brainkernel.act.reach import first_that_counts, weight_counts
from brainkernel.act.routes.protocol import GONE, Wanted
from brainkernel.act.undo import Undo, routes_of
from brainkernel.errors import ActError
from brainkernel.escape import escaped
from brainkernel.model import Action, Limit, Refusal, ReleaseResult, Route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from brainkernel.act.choice import Plan
    from brainkernel.act.host import Host
    from brainkernel.act.ledger import Ledger
    from brainkernel.act.place import Place, Protection
    from brainkernel.act.procfs import Member, PidLock
    from brainkernel.act.routes.protocol import Patience
    from brainkernel.act.systemd import Managers
    from brainkernel.clock import Clock
    from brainkernel.model import Decision


@dataclass(frozen=True, slots=True)
class Permissions:
    """What the operator lets us limit; asked anew for each limit, since the configuration can be read again."""

    protection: Protection
    containers: Callable[[], bool] = lambda: False  # container scopes that systemd manages
    presents: Callable[[int], str] = lambda _: ""  # what a process shows or plays to a person, "" for nothing


class Enforcer:
    """Applies and steps limits, each put down in the ledger first.

    No method raises for what the host does: what cannot be done is a `Refusal` with its rule, and what was begun
    is undone before the refusal is returned. If even that fails, the limit stays in `ledger.live`.
    """

    def __init__(
        self, *, host: Host, managers: Managers, ledger: Ledger, permissions: Permissions, clock: Clock, patience: Patience
    ) -> None:
        """All of it is the caller's; nothing is read or written yet."""
        self._host = host
        self._managers = managers
        self.ledger = ledger
        self.permissions = permissions
        self._clock = clock
        self._routes = routes_of(host, managers, ledger, patience)
        self.undo = Undo(host, managers, ledger, self._routes)

    def apply(self, decision: Decision) -> Action | Refusal:
        """Limit the decision's target by the route that fits, or say why not."""
        if not decision.acts or decision.limit is None:
            return Refusal(rule="mode", reason="the decision does not allow to write")
        if decision.id in self.ledger.live:
            return Refusal(rule="already_limited", reason="this decision was carried out before")
        try:
            with lock_process(self._host, decision.suspect.key) as lock:
                found = GONE if lock is None else self._apply_to(decision, decision.limit, lock)
        except (ActError, OSError) as error:
            found = _refusal_of(error)
        if isinstance(found, Action) or decision.id not in self.ledger.live:
            return found
        # Begun: the intent is down, and it may or may not have been written.
        if self.undo.release(decision.id) is ReleaseResult.FAILED:
            return replace(found, reason=f"{found.reason}; and it could not yet be undone")
        return found

    def step(self, action_id: int, limit: Limit) -> Action | Refusal:
        """Replace the limit of an action by another one; with the same, take in what the target has become since.

        After a refusal by a rule of `OLD_STEP_STANDS` the old limit stands; after any other the old one, the new
        one, or something between: the caller releases the action.
        """
        entry = self.ledger.live.get(action_id)
        if entry is None:
            return Refusal(rule="gone", reason="the limit ended")
        try:
            with lock_process(self._host, entry.action.target) as lock:
                if lock is None:
                    return GONE
                if (immunity := self._immunity(limit, self._limited_by(entry.action))) is not None:
                    return immunity
                route = self._routes[entry.action.route]
                action = route.replan(entry, limit)
                if isinstance(action, Refusal):
                    return action
                self.ledger.intend(action)
                found = route.apply(action, lock, None)
                if isinstance(found, Action):
                    self.ledger.applied(found)
                return found
        except (ActError, OSError) as error:
            return _refusal_of(error)

    def _apply_to(self, decision: Decision, limit: Limit, lock: PidLock) -> Action | Refusal:
        place = read_place(self._host, self._managers, decision.suspect.key, self.permissions.protection)
        if place is None:
            return GONE
        if (refusal := self._already_limited(place)) is not None:
            return refusal
        plan = route_of(place, containers=self.permissions.containers())
        if plan.route is Route.REFUSE:
            return Refusal(rule=plan.rule, reason=plan.reason)
        ladder, counts = decision.ladder or (limit,), self._weight_counts(decision, place, plan)
        step = self._first_step(ladder, limit, place, plan, weight_counts=counts)
        if isinstance(step, Refusal):
            return step
        limit, lowest = ladder[step], first_that_counts(ladder, 0, weight_counts=counts)
        now_ns = self._clock.boot_ns()
        wanted = Wanted(decision_id=decision.id, limit=limit, lease_ns=decision.lease_ns, now_ns=now_ns, place=place, plan=plan)
        route = self._routes[plan.route]
        action = route.plan(wanted)
        if isinstance(action, Refusal):
            return action
        action = replace(action, step=step, lowest=lowest or 0)
        self.ledger.intend(action)
        found = route.apply(action, lock, wanted)
        if isinstance(found, Action):
            self.ledger.applied(found)
        return found

    def _limited_by(self, action: Action) -> tuple[Member, ...]:
        pids = cgroupfs.pids_below(self._host.cgroup, action.cgroup) if action.owns_cgroup else [key.tgid for key in action.moved]
        return read_members(self._host.proc, pids)

    def _immunity(self, limit: Limit, members: Iterable[Member]) -> Refusal | None:
        if limit.nudges:
            return None
        for member in members:
            if what := self.permissions.presents(member.key.tgid):
                seen = f"{escaped(member.comm)} has {escaped(what)} open: a person sees or hears it"
                return Refusal(rule="immunity", reason=f"{seen}, and {limit} would cap it, too")
        return None

    # Where the decision wants to begin, or at the first step beyond that reaches those who wait. Who decided knew the target alone: what a
    # person sees or hears of those who live with it is nudged at most.
    def _first_step(self, ladder: Sequence[Limit], wanted: Limit, place: Place, plan: Plan, *, weight_counts: bool) -> int | Refusal:
        step = first_that_counts(ladder, ladder.index(wanted) if wanted in ladder else 0, weight_counts=weight_counts)
        if step is None:
            reason = f"a weight counts within {place.cgroup.rpartition('/')[0]} only, and who waits lives elsewhere"
            return Refusal(rule="no_effect", reason=reason)
        if (immunity := self._immunity(ladder[step], plan.move or place.members)) is None:
            return step
        nudges = [number for number in range(step) if weight_counts and ladder[number].nudges]
        return nudges[-1] if nudges else immunity

    # Whether a weight there reaches those who wait.
    def _weight_counts(self, decision: Decision, place: Place, plan: Plan) -> bool:
        if decision.symptom is None:
            return True
        victims = (cgroupfs.read_path(self._host.proc, victim.key.tgid) for victim in decision.symptom.victims)
        return weight_counts(
            plan.route,
            place.unit.control_group if place.unit else place.cgroup,
            (path for path in victims if path is not None),
            lambda cgroup: (self._host.cgroup / cgroup.lstrip("/") / "cpu.weight").exists(),
        )

    def _already_limited(self, place: Place) -> Refusal | None:
        for entry in self.ledger.live.values():
            action = entry.action
            unit = place.unit
            same_unit = (
                unit is not None and action.route is not Route.TASK and (action.unit, action.user_uid) == (unit.name, place.user_uid)
            )
            if same_unit or place.target.key in (action.target, *action.moved):
                return Refusal(rule="already_limited", reason=f"{action.unit or action.comm} is under limit {action.id} already")
        return None


def _refusal_of(error: ActError | OSError) -> Refusal:
    return Refusal(rule="systemd" if isinstance(error, BusError) else "act", reason=str(error))
