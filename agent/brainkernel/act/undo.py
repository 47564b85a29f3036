"""The way back from a limit, from what the ledger holds alone. Doing it twice does no harm."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from brainkernel.act import cgroupfs
from brainkernel.act.routes.scope import ScopeRoute
from brainkernel.act.routes.subtree import SubtreeRoute
from brainkernel.act.routes.task import TaskRoute
from brainkernel.act.routes.unit import UnitRoute
from brainkernel.errors import ActError
from brainkernel.model import ReleaseResult, Route

if TYPE_CHECKING:
    from brainkernel.act.host import Host
    from brainkernel.act.ledger import Entry, Ledger
    from brainkernel.act.routes.protocol import Fate, LimitRoute, Patience
    from brainkernel.act.systemd import Managers

_log = logging.getLogger(__name__)


def routes_of(host: Host, managers: Managers, ledger: Ledger, patience: Patience) -> dict[Route, LimitRoute]:
    """Every route that writes; `REFUSE` does not."""
    return {
        Route.UNIT: UnitRoute(host, managers, patience),
        Route.SCOPE: ScopeRoute(host, managers, patience),
        Route.TASK: TaskRoute(host, patience),
        Route.SUBTREE: SubtreeRoute(host, ledger.live.values),
    }


class Undo:
    """Restores what the ledger says was there before, by the route that wrote it."""

    def __init__(self, host: Host, managers: Managers, ledger: Ledger, routes: dict[Route, LimitRoute]) -> None:
        """All of it is the caller's."""
        self._host = host
        self._managers = managers
        self._ledger = ledger
        self._routes = routes

    def release(self, action_id: int, *, last: bool = False) -> ReleaseResult:
        """End one limit. FAILED leaves it in the ledger, to be tried again.

        FOREIGN may leave it there as well, see `UnitRoute.undo`. It is to be released again once `is_elsewhere`,
        and with `last` when the agent ends.
        """
        entry = self._ledger.live.get(action_id)
        if entry is None:
            return ReleaseResult.GONE
        try:
            result, done = self._routes[entry.action.route].undo(entry, last=last)
        except (ActError, OSError) as error:
            _log.warning("limit %d on %s is not released yet: %s", action_id, entry.action.unit or entry.action.comm, error)
            return ReleaseResult.FAILED
        if done:
            self._ledger.released(action_id, result)
        return result

    def is_elsewhere(self, entry: Entry) -> bool:
        """Whether the cgroup that the limit was set in is gone, its unit stopped or started anew."""
        found = cgroupfs.read_limits(self._host.cgroup, entry.action.cgroup)
        return found is None or found[0] != entry.action.cgroup_id

    def fate_of(self, entry: Entry) -> Fate:
        """What became of it, by a look at files alone: cheap enough for every second. Raises ActError or OSError."""
        return self._routes[entry.action.route].read_back(entry)

    def reload(self) -> None:
        """Let systemd forget the drop-ins that were removed. Once, at the end: a reload costs PID 1 up to seconds.

        Left out where other edited unit files wait for a reload, which is then their owner's to do. Without it
        nothing is wrong but a warning in `systemctl status`.
        """
        stale: dict[int | None, set[str]] = {}
        for route in self._routes.values():
            if isinstance(route, UnitRoute):
                for user_uid, names in route.take_stale().items():
                    stale.setdefault(user_uid, set()).update(names)
        for user_uid, names in stale.items():
            try:
                if others := self._managers.of(user_uid).reload_if_only(frozenset(names)):
                    _log.warning("no daemon-reload for %s: it would also load %s", ", ".join(names), ", ".join(sorted(others)))
            except ActError as error:
                _log.warning("no daemon-reload: %s", error)
