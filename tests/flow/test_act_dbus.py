"""Our messages to systemd over a real bus: signatures, errors, deadlines, bounds."""

from __future__ import annotations

import os
import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from brainkernel.act.bus import MAX_MESSAGE_BYTES, Bus, BusError, as_user
from brainkernel.act.systemd import NOT_SET, DbusController, DbusManagers, ScopeRequest
from brainkernel.errors import ActError
from support.systemd_on_dbus import MANAGER, UNIT_PATH, SystemdOnDbus, systemd_on_dbus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

A_SCOPE = ScopeRequest(name="brainkernel-5-6.scope", description="d", slice="user-1000.slice", tgids=(5, 6), tasks_max=NOT_SET)
UNIT = "org.freedesktop.systemd1.Unit"
SERVICE = "org.freedesktop.systemd1.Service"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[SystemdOnDbus]:
    with systemd_on_dbus(tmp_path) as service:
        yield service


@pytest.fixture
def systemd(service: SystemdOnDbus, tmp_path: Path) -> Iterator[DbusController]:
    managers = DbusManagers(tmp_path)
    yield managers.of(None)
    managers.close()


def test_version_is_the_major_number(systemd: DbusController) -> None:
    """Distributions append their own."""
    assert systemd.version() == 252


def test_a_unit_is_read_as_systemd_types_it(systemd: DbusController, service: SystemdOnDbus) -> None:
    """Every property comes with the type of systemd's own interface."""
    service.properties[UNIT, "DropInPaths"] = ("as", ["/run/systemd/system.control/hog.service.d/50-CPUQuota.conf"])
    service.properties[SERVICE, "CPUQuotaPerSecUSec"] = ("t", 200_000)
    service.properties[SERVICE, "IPAddressDeny"] = ("a(iayu)", [(2, b"\0\0\0\0", 0)])

    unit = systemd.unit_of_cgroup("/system.slice/hog.service")

    assert unit is not None
    assert (unit.name, unit.kind, unit.slice, unit.control_group) == (
        "hog.service",
        "service",
        "system.slice",
        "/system.slice/hog.service",
    )
    assert unit.limits == {"CPUWeight": NOT_SET, "CPUQuotaPerSecUSec": 200_000, "IOWeight": NOT_SET, "MemoryHigh": NOT_SET}
    assert unit.bound == ("IPAddressDeny",)
    assert unit.dropins == ("/run/systemd/system.control/hog.service.d/50-CPUQuota.conf",)
    assert (unit.active, unit.delegate, unit.stale, unit.tasks_max) == (True, False, False, 4915)


def test_properties_are_set_for_this_boot_only(systemd: DbusController, service: SystemdOnDbus) -> None:
    """runtime=true: nothing of ours is in /etc."""
    assert systemd.set_limits("hog.service", {"CPUWeight": 0, "CPUQuotaPerSecUSec": NOT_SET})

    expected = ("hog.service", True, [("CPUWeight", ("t", 0)), ("CPUQuotaPerSecUSec", ("t", NOT_SET))])
    assert service.called("SetUnitProperties") == [expected]


def test_a_scope_is_made_without_limits_and_never_kills(systemd: DbusController, service: SystemdOnDbus) -> None:
    """Same slice, the old task limit, no stop on OOM, gone with its last process."""
    assert systemd.start_scope(A_SCOPE)

    ((name, mode, properties, aux),) = service.called("StartTransientUnit")
    assert (name, mode, aux) == ("brainkernel-5-6.scope", "fail", [])
    assert dict(properties) == {
        "Description": ("s", "d"),
        "PIDs": ("au", [5, 6]),
        "Slice": ("s", "user-1000.slice"),
        "TasksMax": ("t", NOT_SET),
        "CollectMode": ("s", "inactive-or-failed"),
        "OOMPolicy": ("s", "continue"),
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("org.freedesktop.DBus.Error.InvalidArgs", "Process with ID 99999 does not exist."),
        ("org.freedesktop.DBus.Error.UnixProcessIdUnknown", "Failed to set unit properties: No such process"),
        ("org.freedesktop.systemd1.NoSuchProcess", "gone"),
    ],
)
def test_a_dead_process_is_no_error(systemd: DbusController, service: SystemdOnDbus, name: str, text: str) -> None:
    """Whatever this version of systemd calls it, the caller tries again with those who live."""
    service.errors["StartTransientUnit"] = (name, text)

    assert not systemd.start_scope(A_SCOPE)


def test_a_unit_that_is_gone_is_none(systemd: DbusController, service: SystemdOnDbus) -> None:
    """Not loaded, not found or vanished between two calls: all the same to the caller."""
    service.properties[UNIT, "LoadState"] = ("s", "not-found")
    assert systemd.unit("hog.service") is None

    service.errors["LoadUnit"] = ("org.freedesktop.systemd1.NoSuchUnit", "Unit hog.service not loaded.")
    service.errors["SetUnitProperties"] = service.errors["LoadUnit"]
    assert systemd.unit("hog.service") is None
    assert not systemd.set_limits("hog.service", {"CPUWeight": 20})


def test_an_error_names_itself_and_the_remedy(systemd: DbusController, service: SystemdOnDbus) -> None:
    """D-Bus name, systemd's words, and what a person can do."""
    service.errors["SetUnitProperties"] = ("org.freedesktop.DBus.Error.AccessDenied", "Permission denied")

    with pytest.raises(ActError, match=r"org\.freedesktop\.DBus\.Error\.AccessDenied: Permission denied \(run as root"):
        systemd.set_limits("hog.service", {"CPUWeight": 20})


def test_an_error_reply_does_not_end_the_connection(systemd: DbusController, service: SystemdOnDbus) -> None:
    """The next call is answered."""
    service.errors["SetUnitProperties"] = ("org.freedesktop.DBus.Error.AccessDenied", "no")
    with pytest.raises(ActError):
        systemd.set_limits("hog.service", {"CPUWeight": 20})

    assert systemd.version() == 252


@pytest.mark.parametrize("name", ["../../etc.service", "a/b.service", "", "x.timer\n", "x.unknown"])
def test_a_name_that_is_no_unit_name_is_not_believed(systemd: DbusController, service: SystemdOnDbus, name: str) -> None:
    """A user's manager may be hostile, and names become parts of paths."""
    service.properties[UNIT, "Id"] = ("s", name)

    with pytest.raises(ActError, match="no unit name"):
        systemd.unit("hog.service")


@pytest.mark.parametrize(
    ("key", "value"), [("ControlGroup", ("s", "/../../etc")), ("CPUWeight", ("s", "many")), ("TasksMax", ("as", ["x"]))]
)
def test_a_nonsensical_property_is_an_error(systemd: DbusController, service: SystemdOnDbus, key: str, value: tuple[str, Any]) -> None:
    """Nothing else than an ActError ever comes out."""
    service.properties[SERVICE, key] = value

    with pytest.raises(ActError):
        systemd.unit("hog.service")


def list_units(*names: str, load_state: str = "loaded") -> tuple[list[tuple[Any, ...]]]:
    return ([(name, "", load_state, "active", "running", "", UNIT_PATH, 0, "", "/") for name in names or ("hog.service",)],)


def test_reload_is_done_for_our_units_alone(systemd: DbusController, service: SystemdOnDbus) -> None:
    """Once, and only if something is stale."""
    service.replies["ListUnits"] = list_units
    assert systemd.reload_if_only(frozenset({"hog.service"})) == frozenset()
    assert service.called("Reload") == []

    service.properties[UNIT, "NeedDaemonReload"] = ("b", True)
    assert systemd.reload_if_only(frozenset({"hog.service"})) == frozenset()
    assert len(service.called("Reload")) == 1


def test_reload_is_left_to_whoever_edits_other_units(systemd: DbusController, service: SystemdOnDbus) -> None:
    """Their half-made change would become active."""
    service.replies["ListUnits"] = lambda: list_units("hog.service", "theirs.service")
    service.properties[UNIT, "NeedDaemonReload"] = ("b", True)

    assert systemd.reload_if_only(frozenset({"hog.service"})) == {"theirs.service"}
    assert service.called("Reload") == []


def test_a_masked_unit_does_not_keep_us_from_a_reload(systemd: DbusController, service: SystemdOnDbus) -> None:
    """With drop-ins it says for ever that it needs one."""
    service.replies["ListUnits"] = lambda: (list_units()[0] + list_units("serial-getty@ttyS0.service", load_state="masked")[0],)
    service.properties[UNIT, "NeedDaemonReload"] = ("b", True)

    assert systemd.reload_if_only(frozenset({"hog.service"})) == frozenset()
    assert len(service.called("Reload")) == 1


def test_no_reload_while_the_host_goes_down(systemd: DbusController, service: SystemdOnDbus) -> None:
    """All of /run ends then."""
    service.properties[MANAGER, "SystemState"] = ("s", "stopping")

    assert systemd.reload_if_only(frozenset({"hog.service"})) == frozenset()
    assert service.called("ListUnits") == []


def test_a_bus_that_does_not_answer_is_left_after_the_deadline(service: SystemdOnDbus) -> None:
    """And the call after it connects anew."""
    slow = DbusController(Bus(service.socket, timeout_s=0.2))
    service.silent = True
    with pytest.raises(BusError, match="NoReply: no answer"):
        slow.version()

    service.silent = False
    assert slow.version() == 252
    slow.close()


def test_a_bus_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A host without D-Bus, or a user who is not logged in."""
    with pytest.raises(BusError, match=r"Disconnected: .*No such file"):
        DbusManagers(tmp_path).of(None).version()


def hostile_bus(path: Path, after_hello: bytes) -> socket.socket:
    """A socket that speaks the handshake, answers Hello with `after_hello`, and then keeps quiet."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        peer, _ = listener.accept()
        with peer, suppress(ConnectionError):  # the client may be gone first
            peer.recv(1024)
            peer.recv(1024)
            peer.sendall(b"OK 1234deadbeef\r\n")
            peer.recv(1024)
            peer.sendall(after_hello)
            peer.recv(1024)

    threading.Thread(target=serve, daemon=True).start()
    return listener


@pytest.mark.parametrize(
    "junk",
    [
        b"l\2\1\1" + struct.pack("<III", MAX_MESSAGE_BYTES * 2, 1, 0),  # announces two megabytes
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 64,
        b"l\2\1\1" + struct.pack("<III", 0, 1, 8) + b"\xff" * 64,
        b"",
    ],
    ids=["huge", "http", "nonsense", "silence"],
)
def test_a_hostile_bus_is_an_error(tmp_path: Path, junk: bytes) -> None:
    """The far end of a user's bus is the user's: it can cost us its second, and no more."""
    with hostile_bus(tmp_path / "bus", junk), pytest.raises(ActError):
        DbusController(Bus(tmp_path / "bus", timeout_s=0.5)).version()


@pytest.mark.skipif(os.geteuid() != 0, reason="acting as another user needs root")
def test_acting_as_a_user_is_for_one_thread_and_ends_with_the_block() -> None:
    """Other threads go on as root; files and sockets made inside belong to the user's rights."""
    seen: list[int] = []
    with as_user(65534):
        thread = threading.Thread(target=lambda: seen.append(os.geteuid()))
        thread.start()
        thread.join()
        inside = os.geteuid()

    assert (inside, os.geteuid()) == (65534, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="acting as another user needs root")
def test_a_users_bus_sees_that_user(tmp_path: Path) -> None:
    """A session bus takes nobody but its owner, root neither."""
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    path = tmp_path / "bus"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o777)
    listener.listen()

    with listener:
        with pytest.raises(ActError):  # nobody answers; the credentials are those of connect(2)
            Bus(path, timeout_s=0.3, as_uid=65534).call("/", "a.b", "C", "", ())
        peer, _ = listener.accept()
    _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    peer.close()

    assert uid == 65534


def test_acting_as_a_user_says_so_where_the_machine_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """System call numbers differ; a guess could do anything."""
    monkeypatch.setattr("brainkernel.act.bus.platform.machine", lambda: "z80")

    with pytest.raises(ActError, match="z80"), as_user(os.geteuid() + 1):
        pass


def test_who_cannot_act_as_a_user_says_so_and_not_that_their_bus_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason for limiting single tasks instead, and its remedy, is shown to a person."""
    monkeypatch.setattr("platform.machine", lambda: "vax")

    with pytest.raises(ActError, match="acting as another user is not known on vax"):
        DbusController(Bus(tmp_path / "bus", 1.0, as_uid=os.getuid() + 1)).version()
