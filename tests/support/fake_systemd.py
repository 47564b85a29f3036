"""A systemd over the files of a fake host, honest to what was measured on Debian 12 (systemd 252) in the VM.

Everything that was not arranged raises. Time passes only where the code under test sleeps.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from brainkernel.act.routes.protocol import Patience
from brainkernel.act.systemd import NOT_SET, ScopeRequest, UnitState
from brainkernel.errors import ActError
from support.fake_host import FakeHost, write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

FILE_OF = {
    "CPUWeight": "50-CPUWeight.conf",
    "CPUQuotaPerSecUSec": "50-CPUQuota.conf",
    "IOWeight": "50-IOWeight.conf",
    "MemoryHigh": "50-MemoryHigh.conf",
}
CONTROLLER_OF = {"CPUWeight": "cpu", "CPUQuotaPerSecUSec": "cpu", "IOWeight": "io"}
UNSET = dict.fromkeys(FILE_OF, NOT_SET)


@dataclass
class FakeUnit:
    """One unit: what its own file configures, and what drop-ins in /run add."""

    name: str
    slice: str
    transient: bool
    configured: dict[str, int] = field(default_factory=lambda: dict(UNSET))
    limits: dict[str, int] = field(default_factory=lambda: dict(UNSET))
    active: bool = True
    bound: tuple[str, ...] = ()
    tasks_max: int = NOT_SET
    loaded_dropins: tuple[str, ...] = ()

    @property
    def control_group(self) -> str:
        return f"/{self.slice}/{self.name}" if self.slice != "-.slice" else f"/{self.name}"


class FakeSystemd:
    """One manager. A `UnitController`, and the buttons that an administrator has."""

    def __init__(self, host: FakeHost, *, base: str = "", user_uid: int | None = None) -> None:
        self.host = host
        self.base = base  # the cgroup below which its slices are: that of a user's manager
        self.units: dict[str, FakeUnit] = {}
        control = f"user/{user_uid}/systemd/user.control" if user_uid is not None else "systemd/system.control"
        self._control = host.root / "run" / control
        self._transient = host.root / "run" / control.replace("user.control", "transient").replace("system.control", "transient")
        self.systemd_version = 252
        self.late = 0  # how many sleeps a change takes to reach the cgroup
        self.deaf: Callable[[str], None] = lambda method: None  # raises ActError to play a bus that fails
        self.reloads = 0
        self.edited: frozenset[str] = frozenset()  # units whose files an administrator is editing
        self.forgets_ended = True  # 252 forgets the cgroup of a unit that ended, also while processes live on in it; later ones do not
        self.on_scope: Callable[[ScopeRequest], None] = lambda request: None
        self._pending: list[tuple[int, Callable[[], object]]] = []

    # --- UnitController

    def version(self) -> int:
        self.deaf("version")
        return self.systemd_version

    def unit_of_cgroup(self, path: str) -> UnitState | None:
        self.deaf("unit_of_cgroup")
        best: FakeUnit | None = None
        for unit in self.units.values():
            inside = unit.active and f"{path}/".startswith(f"{self.path_of(unit)}/")
            if inside and (best is None or len(self.path_of(unit)) > len(self.path_of(best))):
                best = unit
        if best is not None:
            return self._state(best)
        return UnitState(name="-.slice", active=True, slice="", control_group="", limits=dict(UNSET)) if not self.base else None

    def unit(self, name: str) -> UnitState | None:
        self.deaf("unit")
        return self._state(self.units[name]) if name in self.units else None

    def set_limits(self, name: str, values: Mapping[str, int]) -> bool:
        self.deaf("set_limits")
        if name not in self.units:
            return False
        unit = self.units[name]
        unit.limits.update(values)
        for key, value in values.items():
            path = self.dropin_of(unit, key)
            write_file(path, dropin_text(key, value))
            if str(path) not in unit.loaded_dropins:
                unit.loaded_dropins = (*unit.loaded_dropins, str(path))
        self._later(lambda: self.settle_cgroups(name))
        return True

    def start_scope(self, request: ScopeRequest) -> bool:
        self.deaf("start_scope")
        self.on_scope(request)
        if any(tgid not in self.host.cgroup_of for tgid in request.tgids):
            return False
        assert request.name not in self.units, f"{request.name} exists"
        unit = FakeUnit(request.name, request.slice, transient=True, tasks_max=request.tasks_max)
        self.units[unit.name] = unit
        self.host.make_cgroup(self.path_of(unit))
        self.settle_cgroups(unit.name)
        self._later(lambda: self._arrive(request.tgids, self.path_of(unit)))
        return True

    def reload_if_only(self, names: frozenset[str]) -> frozenset[str]:
        self.deaf("reload")
        if not self.edited:
            self.daemon_reload()
        return self.edited

    # --- what happens on a host

    def add(self, name: str, slice_name: str = "system.slice", *, transient: bool = False, **configured: int) -> FakeUnit:
        """Start a unit."""
        values = {**UNSET, **configured}
        unit = FakeUnit(name, slice_name, transient, configured=dict(values), limits=dict(values))
        self.units[name] = unit
        self.host.make_cgroup(self.path_of(unit))
        self.settle_cgroups(name)
        return unit

    def path_of(self, unit: FakeUnit) -> str:
        return f"{self.base}{unit.control_group}"

    def stop(self, name: str) -> None:
        """End a unit's processes and cgroup. A transient unit vanishes, with its drop-ins."""
        unit = self.units[name]
        path = self.path_of(unit)
        for tgid in [tgid for tgid, where in self.host.cgroup_of.items() if where == path]:
            self.host.end(tgid)
        unit.active = False
        shutil.rmtree(self.host.dir_of(path))
        if unit.transient:
            shutil.rmtree(self._transient / f"{name}.d", ignore_errors=True)
            del self.units[name]
        self.settle_cgroups(name)

    def stop_main_process(self, name: str, *, vanishes: bool = False) -> None:
        """End a unit with KillMode=process: whoever else lives in its cgroup stays there, with the values of its files."""
        unit = self.units[name]
        unit.active = False
        if vanishes:
            del self.units[name]
        self.settle_cgroups(name)

    def start(self, name: str) -> None:
        """Start a stopped unit again: a new cgroup at the old path, with the limits that drop-ins say."""
        unit = self.units[name]
        unit.active = True
        if not self.host.dir_of(self.path_of(unit)).is_dir():
            self.host.make_cgroup(self.path_of(unit))
        self.settle_cgroups(name)

    def daemon_reload(self) -> None:
        """Read all configuration again."""
        self.reloads += 1
        for unit in self.units.values():
            unit.limits = dict(unit.configured)
            found = []
            for key in UNSET:
                path = self.dropin_of(unit, key)
                if path.exists():
                    unit.limits[key] = value_in(path.read_text())
                    found.append(str(path))
            unit.loaded_dropins = tuple(found)
        self.settle_cgroups()

    def foreign_set(self, name: str, key: str, value: int) -> None:
        """An administrator's `systemctl set-property --runtime`."""
        late, self.late = self.late, 0
        assert self.set_limits(name, {key: value})
        self.late = late

    def sleep(self, _: float) -> None:
        """Time passes: what was late arrives."""
        due = [work for left, work in self._pending if left <= 1]
        self._pending = [(left - 1, work) for left, work in self._pending if left > 1]
        for work in due:
            work()

    def catch_up(self) -> None:
        """Much time passes: nothing is late any more."""
        while self._pending:
            self.sleep(0)

    def dropin_of(self, unit: FakeUnit, key: str) -> Path:
        return (self._transient if unit.transient else self._control) / f"{unit.name}.d" / FILE_OF[key]

    def dropins(self) -> list[Path]:
        return sorted(path for root in (self._control, self._transient) for path in root.rglob("*") if path.is_file())

    def settle_cgroups(self, changed: str = "") -> None:
        """Write what is configured of one unit ("": of all). The files exist only while some unit wants the controller."""
        active = [unit for unit in self.units.values() if unit.active]
        wanted = {controller for unit in active for name, controller in CONTROLLER_OF.items() if unit.limits[name] != NOT_SET} | {"memory"}
        for unit in self.units.values():
            if not unit.active:
                continue
            directory = self.host.dir_of(self.path_of(unit))
            for name, text in _files_of(unit.limits).items():
                file = directory / name
                if name.partition(".")[0] not in wanted:
                    file.unlink(missing_ok=True)
                elif changed in ("", unit.name) or not file.exists():
                    file.write_text(f"{text}\n")

    def _is_empty(self, unit: FakeUnit) -> bool:
        return self.path_of(unit) not in self.host.cgroup_of.values()

    def _arrive(self, tgids: tuple[int, ...], path: str) -> None:
        for tgid in tgids:
            if tgid in self.host.cgroup_of:
                self.host.move(tgid, path)

    def _later(self, work: Callable[[], object]) -> None:
        if self.late:
            self._pending.append((self.late, work))
        else:
            work()

    def _state(self, unit: FakeUnit) -> UnitState:
        return UnitState(
            name=unit.name,
            active=unit.active,
            slice=unit.slice,
            control_group=self.path_of(unit) if unit.active or not (self.forgets_ended or self._is_empty(unit)) else "",
            limits=dict(unit.limits),
            tasks_max=unit.tasks_max,
            bound=unit.bound,
            dropins=unit.loaded_dropins,
        )


class FakeManagers:
    """The system's manager, and those of users that were arranged."""

    def __init__(self, system: FakeSystemd) -> None:
        self.system = system
        self.users: dict[int, FakeSystemd] = {}

    def close(self) -> None:
        """Nothing is connected."""

    def of(self, user_uid: int | None) -> FakeSystemd:
        if user_uid is None:
            return self.system
        if user_uid not in self.users:
            msg = f"org.freedesktop.DBus.Error.Disconnected: no bus of user {user_uid}"
            raise ActError(msg)
        return self.users[user_uid]


def patience_of(systemd: FakeSystemd) -> Patience:
    """Wait without waiting: a sleep lets the fake systemd do what it owes."""
    return Patience(deadline_s=0.5, sleep=systemd.sleep)


def dropin_text(key: str, value: int) -> str:
    """A drop-in as systemd 252 writes it."""
    empty = "infinity" if key == "MemoryHigh" else ""
    text = {"CPUWeight": "idle" if value == 0 else str(value), "CPUQuotaPerSecUSec": f"{value // 10_000}%"}.get(key, str(value))
    setting = f"{key.removesuffix('PerSecUSec')}={empty if value == NOT_SET else text}"
    return (
        '# This is a drop-in unit file extension, created via "systemctl set-property"\n'
        f"# or an equivalent operation. Do not edit.\n[Service]\n{setting}\n"
    )


def value_in(text: str) -> int:
    """What systemd understands of a drop-in: an empty value means "not set", not the unit's own."""
    value = text.strip().splitlines()[-1].partition("=")[2]
    if value in ("", "infinity"):
        return NOT_SET
    if value.endswith("%"):
        return int(value.removesuffix("%")) * 10_000
    return 0 if value == "idle" else int(value)


def _files_of(limits: Mapping[str, int]) -> dict[str, str]:
    weight, quota, io, high = limits.values()
    return {
        "cpu.weight": "100" if weight == NOT_SET else str(weight),
        "cpu.idle": "1" if weight == 0 else "0",
        "cpu.max": "max 100000" if quota == NOT_SET else f"{quota // 10} 100000",
        "io.weight": f"default {100 if io == NOT_SET else io}",
        "memory.high": "max" if high == NOT_SET else str(high),
    }
