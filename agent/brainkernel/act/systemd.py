"""What we ask of systemd and what it says of its units: the Protocol, and its D-Bus implementation.

Units are reached through their manager only, since it alone may write the cgroups it made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from brainkernel.act.bus import Bus, BusError
from brainkernel.errors import ActError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

T = TypeVar("T")

NOT_SET = 2**64 - 1  # how systemd spells "no value" for weights, quotas and limits
IDLE_SINCE = 252  # systemd version with CPUWeight=idle; scopes take OOMPolicy= since then, too (seen on 252.39)
LIMIT_PROPERTIES = ("CPUWeight", "CPUQuotaPerSecUSec", "IOWeight", "MemoryHigh")
# Of these, the ones by which somebody decided how much time a unit gets. MemoryHigh is another matter.
DECISIVE_PROPERTIES = LIMIT_PROPERTIES[:3]

SYSTEM_TIMEOUT_S = 25.0  # D-Bus's own default; under churn PID 1 was seen to need 10-25 s (runc issue 4853)
USER_TIMEOUT_S = 1.0  # a user's manager may be hostile: it gets no more of our time

_MANAGER = "org.freedesktop.systemd1.Manager"
_UNIT = "org.freedesktop.systemd1.Unit"
_ROOT = "/org/freedesktop/systemd1"
_GONE = frozenset(f"org.freedesktop.{name}" for name in ("systemd1.NoSuchUnit", "DBus.Error.UnknownObject", "DBus.Error.UnknownProperty"))
_TYPES = {"service": "Service", "scope": "Scope", "slice": "Slice", "socket": "Socket", "mount": "Mount", "swap": "Swap"}
# A name that may become part of a path of ours: no slash, no dot-dot (unit names in systemd.unit(5)).
_VALID_NAME = re.compile(r"[A-Za-z0-9:_.\\@-]{1,255}\.(?:service|scope|slice|socket|mount|swap|target|timer|path|device|automount)")

# What a cgroup carries beside CPU: a process that is moved out of it loses these.
_NO_LIMIT = {"MemoryMax": NOT_SET, "MemoryHigh": NOT_SET, "IPAddressDeny": [], "DevicePolicy": "auto", "AllowedCPUs": b""}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitState:
    """One loaded unit as its manager knows it."""

    name: str
    active: bool  # it has processes or is about to have some
    slice: str
    control_group: str  # "" while it has none
    delegate: bool = False
    limits: Mapping[str, int]  # by D-Bus name, `NOT_SET` where nothing is configured
    tasks_max: int = NOT_SET
    bound: tuple[str, ...] = ()  # properties that protect or confine by this cgroup and would be lost by a move
    dropins: tuple[str, ...] = ()
    stale: bool = False  # its files changed since systemd read them (NeedDaemonReload)

    @property
    def kind(self) -> str:
        """The unit type: "service", "scope" ..."""
        return self.name.rpartition(".")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeRequest:
    """A transient scope to be made around running processes, without any limit: those come by `set_limits`."""

    name: str
    description: str
    slice: str
    tgids: tuple[int, ...]
    tasks_max: int


class UnitController(Protocol):
    """One systemd manager. All methods block, for at most its timeout; all raise ActError when it cannot be asked."""

    def version(self) -> int:
        """The major version, such as 252."""
        ...

    def unit_of_cgroup(self, path: str) -> UnitState | None:
        """The unit that a cgroup belongs to; None if this manager has none there."""
        ...

    def unit(self, name: str) -> UnitState | None:
        """One unit by name, loaded if need be; None if there is none."""
        ...

    def set_limits(self, name: str, values: Mapping[str, int]) -> bool:
        """Set properties until the next reboot; False if the unit is gone. systemd may apply them a little later."""
        ...

    def start_scope(self, request: ScopeRequest) -> bool:
        """Make a scope around processes; False if one of them is gone, and then nothing was moved."""
        ...

    def reload_if_only(self, names: frozenset[str]) -> frozenset[str]:
        """Read unit files again, unless units other than `names` wait for that too; returns those, and none if it was done."""
        ...


class Managers(Protocol):
    """The managers of this host."""

    def of(self, user_uid: int | None) -> UnitController:
        """The system's (None) or a user's. Raises ActError if it cannot be reached."""
        ...

    def close(self) -> None:
        """Drop all connections."""
        ...


class DbusController:
    """A systemd manager over D-Bus."""

    def __init__(self, bus: Bus) -> None:
        """Use this bus; it connects at the first call, and again after an error."""
        self._bus = bus

    def version(self) -> int:
        """The major version, such as 252."""
        text = str(self._get(_ROOT, _MANAGER, "Version"))  # "252.39-1~deb12u1", "v255-rc1"
        digits = re.search(r"\d+", text)
        if digits is None:
            msg = f"systemd gives its version as {text!r}"
            raise ActError(msg)
        return int(digits[0])

    def unit_of_cgroup(self, path: str) -> UnitState | None:
        """The unit that a cgroup belongs to, by systemd's own word: paths are not unit names."""
        return self._none_if_gone(lambda: self._state(self._manager("GetUnitByControlGroup", "s", (path,))[0]))

    def unit(self, name: str) -> UnitState | None:
        """One unit, loaded if need be: a stopped one still has the drop-ins that must be undone."""
        return self._none_if_gone(lambda: self._state(self._manager("LoadUnit", "s", (name,))[0]))

    def set_limits(self, name: str, values: Mapping[str, int]) -> bool:
        """Set properties until the next reboot; False if the unit is gone."""
        properties = [(key, ("t", value)) for key, value in values.items()]
        done = self._none_if_gone(lambda: self._manager("SetUnitProperties", "sba(sv)", (name, True, properties)))
        return done is not None

    def start_scope(self, request: ScopeRequest) -> bool:
        """Make a scope around processes; False if one of them is gone."""
        properties: list[tuple[str, tuple[str, Any]]] = [
            ("Description", ("s", request.description)),
            ("PIDs", ("au", list(request.tgids))),
            ("Slice", ("s", request.slice)),
            ("TasksMax", ("t", request.tasks_max)),
            ("CollectMode", ("s", "inactive-or-failed")),
        ]
        if self.version() >= IDLE_SINCE:
            properties.append(("OOMPolicy", ("s", "continue")))  # the default would stop the scope: a kill by us
        try:
            self._manager("StartTransientUnit", "ssa(sv)a(sa(sv))", (request.name, "fail", properties, []))
        except BusError as error:
            if _is_dead_process(error):
                return False
            raise
        return True

    def close(self) -> None:
        """Drop the connection."""
        self._bus.close()

    def reload_if_only(self, names: frozenset[str]) -> frozenset[str]:
        """Reload, unless somebody else's edits wait for it; returns whose."""
        if self._get(_ROOT, _MANAGER, "SystemState") == "stopping":
            return frozenset()  # /run ends with the host
        # A masked unit that has drop-ins says for ever that it needs a reload (seen on 252): only loaded ones count.
        loaded = [(str(row[0]), row[6]) for row in self._manager("ListUnits", "", ())[0] if row[2] == "loaded"]
        stale = {name for name, path in loaded if self._get(path, _UNIT, "NeedDaemonReload")}
        if stale & names and not stale - names:
            self._manager("Reload", "", ())
        return frozenset(stale - names)

    def _state(self, path: str) -> UnitState | None:
        try:
            state = self._read_state(path)
        except (TypeError, ValueError) as error:
            msg = f"systemd describes {path} in a way we do not understand: {error}"
            raise ActError(msg) from None
        if state is not None and ".." in state.control_group.split("/"):
            msg = f"systemd names the cgroup {state.control_group[:80]!r}, which leaves the tree"
            raise ActError(msg)
        return state

    def _read_state(self, path: str) -> UnitState | None:
        name = str(self._get(path, _UNIT, "Id"))
        if _VALID_NAME.fullmatch(name) is None:
            msg = f"systemd names a unit {name[:80]!r}, which is no unit name"
            raise ActError(msg)
        kind = _TYPES.get(name.rpartition(".")[2])
        if kind is None or self._get(path, _UNIT, "LoadState") == "not-found":
            return None
        typed = f"org.freedesktop.systemd1.{kind}"
        return UnitState(
            name=name,
            active=self._get(path, _UNIT, "ActiveState") in ("active", "activating", "reloading", "deactivating"),
            slice=str(self._get(path, typed, "Slice")),
            control_group=str(self._get(path, typed, "ControlGroup")),
            delegate=bool(self._get(path, typed, "Delegate")),
            limits={key: int(self._get(path, typed, key)) for key in LIMIT_PROPERTIES},
            tasks_max=int(self._get(path, typed, "TasksMax")),
            bound=tuple(key for key, unlimited in _NO_LIMIT.items() if self._get(path, typed, key) != unlimited),
            dropins=tuple(self._get(path, _UNIT, "DropInPaths")),
            stale=bool(self._get(path, _UNIT, "NeedDaemonReload")),
        )

    def _manager(self, method: str, signature: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return self._bus.call(_ROOT, _MANAGER, method, signature, arguments)

    def _get(self, path: str, interface: str, name: str) -> Any:
        ((_, value),) = self._bus.call(path, "org.freedesktop.DBus.Properties", "Get", "ss", (interface, name))
        return value

    @staticmethod
    def _none_if_gone(ask: Callable[[], T]) -> T | None:
        try:
            return ask()
        except BusError as error:
            if error.name in _GONE:
                return None
            raise


class DbusManagers:
    """The managers of this host over D-Bus. For one thread; connections are kept."""

    def __init__(self, run: Path) -> None:
        """`run` is /run: the system bus is at dbus/system_bus_socket, a user's at user/UID/bus."""
        self._run = run
        self._known: dict[int | None, DbusController] = {}

    def of(self, user_uid: int | None) -> DbusController:
        """The system's manager (None) or a user's."""
        if user_uid not in self._known:
            if user_uid is None:
                bus = Bus(self._run / "dbus/system_bus_socket", SYSTEM_TIMEOUT_S)
            else:
                bus = Bus(self._run / f"user/{user_uid}/bus", USER_TIMEOUT_S, as_uid=user_uid)
            self._known[user_uid] = DbusController(bus)
        return self._known[user_uid]

    def close(self) -> None:
        """Drop all connections."""
        for controller in self._known.values():
            controller.close()
        self._known.clear()


def _is_dead_process(error: BusError) -> bool:
    # "Process with ID 99999 does not exist." comes as InvalidArgs or UnixProcessIdUnknown, by version; ESRCH as NoSuchProcess.
    return error.name.endswith(("NoSuchProcess", "UnixProcessIdUnknown")) or "does not exist" in error.text
