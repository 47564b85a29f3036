"""Units, slices and containers in cgroup paths; descriptions and triggers in unit files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from brainkernel.clock import SimulatedClock
from brainkernel.enrich.session import session_of_cgroup, tty_name_of
from brainkernel.enrich.units import CgroupPlace, UnitFiles, place_of
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path

ID = "3f4e5d6c7b8a9f0e1d2c3b4a5f6e7d8c9b0a1f2e3d4c5b6a7f8e9d0c1b2a3f4e"


@pytest.mark.parametrize(
    ("cgroup", "place"),
    [
        ("", CgroupPlace()),
        ("/", CgroupPlace()),
        ("/init.scope", CgroupPlace("init.scope")),
        ("/system.slice/cron.service", CgroupPlace("cron.service", "system.slice")),
        ("/system.slice/system-getty.slice/getty@tty1.service", CgroupPlace("getty@tty1.service", "system-getty.slice")),
        ("/user.slice/user-1000.slice/session-3.scope", CgroupPlace("session-3.scope", "user-1000.slice")),
        ("/user.slice/user-1000.slice/user@1000.service", CgroupPlace("user@1000.service", "user-1000.slice")),
        ("/user.slice/user-1000.slice/user@1000.service/init.scope", CgroupPlace("init.scope", "", 1000)),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice/vte-spawn-x.scope",
            CgroupPlace("vte-spawn-x.scope", "app-org.gnome.Terminal.slice", 1000),
        ),
        ("/system.slice/nginx.service/workers/1", CgroupPlace("nginx.service", "system.slice")),
        ("/system.slice/_cgroup.service", CgroupPlace("cgroup.service", "system.slice")),
        (f"/system.slice/docker-{ID}.scope", CgroupPlace(f"docker-{ID}.scope", "system.slice", None, ID[:12])),
        (f"/machine.slice/libpod-{ID}.scope/container", CgroupPlace(f"libpod-{ID}.scope", "machine.slice", None, ID[:12])),
        (f"/docker/{ID}", CgroupPlace("", "", None, ID[:12])),
        (
            f"/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope",
            CgroupPlace(f"cri-containerd-{ID}.scope", "kubepods-pod1.slice", None, ID[:12]),
        ),
        (f"/kubepods/besteffort/pod1/{ID}", CgroupPlace("", "", None, ID[:12])),
        ("/lxc.payload.web/system.slice/x.service", CgroupPlace("", "", None, "web")),
        ("/lxc/web/x", CgroupPlace("", "", None, "web")),
        (r"/machine.slice/machine-my\x2dbox.scope", CgroupPlace(r"machine-my\x2dbox.scope", "machine.slice", None, "my-box")),
    ],
)
def test_place_of_reads_a_cgroup_path_as_systemd_does(cgroup: str, place: CgroupPlace) -> None:
    """Unit, slice, user and container come from the path alone."""
    assert place_of(cgroup) == place


@given(st.text(max_size=200))
def test_place_of_takes_any_path(path: str) -> None:
    """A cgroup may have any name."""
    place_of(path)


@pytest.mark.parametrize(
    ("cgroup", "session"),
    [
        ("/user.slice/user-1000.slice/session-3.scope", "3"),
        ("/user.slice/user-0.slice/session-c12.scope/x", "c12"),
        ("/system.slice/cron.service", ""),
    ],
)
def test_session_of_cgroup_finds_the_logind_id(cgroup: str, session: str) -> None:
    """A login's scope carries its id."""
    assert session_of_cgroup(cgroup) == session


@pytest.mark.parametrize(
    ("device", "name"),
    [
        (0, ""),
        (os.makedev(136, 0), "pts/0"),
        (os.makedev(136, 300), "pts/300"),
        (os.makedev(4, 1), "tty1"),
        (os.makedev(4, 64), "ttyS0"),
        (os.makedev(5, 1), "console"),
        (os.makedev(204, 64), "ttyAMA0"),
        (os.makedev(229, 0), "hvc0"),
        (os.makedev(77, 3), "77:3"),
        (-1, ""),
    ],
)
def test_tty_name_of_follows_the_kernels_list(device: int, name: str) -> None:
    """Device numbers become the names people know."""
    assert tty_name_of(device) == name


def _write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_unit_files_give_description_and_triggers(tmp_path: Path) -> None:
    """What `systemctl status` says first, without asking systemd."""
    _write(tmp_path, "usr/lib/systemd/system/logrotate.service", "[Unit]\nDescription=Rotate log files\n[Service]\nExecStart=/x\n")
    _write(tmp_path, "usr/lib/systemd/system/logrotate.timer", "[Timer]\nOnCalendar=daily\n")
    _write(tmp_path, "etc/systemd/system/weekly.timer", "[Timer]\nUnit = logrotate.service\n")

    unit = UnitFiles(tmp_path, SimulatedClock()).unit_at(CgroupPlace("logrotate.service", "system.slice"))

    assert unit is not None
    assert (unit.description, unit.slice, set(unit.triggered_by)) == (
        "Rotate log files",
        "system.slice",
        {"logrotate.timer", "weekly.timer"},
    )


def test_unit_files_prefer_the_administrators_and_expand_templates(tmp_path: Path) -> None:
    """/etc wins over /usr/lib, and an instance is described by its template."""
    _write(tmp_path, "usr/lib/systemd/system/vpn@.service", "[Unit]\nDescription=VPN to %I (%p, 100%%)\n")
    _write(tmp_path, "usr/lib/systemd/system/a.service", "[Unit]\nDescription=theirs\n")
    _write(tmp_path, "etc/systemd/system/a.service", "[Unit]\nDescription=ours\n")
    files = UnitFiles(tmp_path, SimulatedClock())

    instance, plain = files.unit_at(CgroupPlace(r"vpn@my\x2doffice.service")), files.unit_at(CgroupPlace("a.service"))

    assert instance is not None
    assert plain is not None
    assert instance.description == "VPN to my-office (vpn, 100%)"
    assert plain.description == "ours"


def test_unit_files_of_a_user_come_from_the_users_directories(tmp_path: Path) -> None:
    """A user's unit has the name of a system unit without being it."""
    _write(tmp_path, "usr/lib/systemd/system/a.service", "[Unit]\nDescription=the system's\n")
    _write(tmp_path, "run/user/1000/systemd/transient/app-x.scope", "[Unit]\nDescription=An app\n")
    files = UnitFiles(tmp_path, SimulatedClock())

    scope, service = files.unit_at(CgroupPlace("app-x.scope", "app.slice", 1000)), files.unit_at(CgroupPlace("a.service", "", 1000))

    assert scope is not None
    assert service is not None
    assert (scope.description, scope.user_uid, service.description) == ("An app", 1000, "")


@pytest.mark.parametrize("kind", ["fifo", "directory", "binary", "link"])
def test_unit_files_survive_what_is_no_unit_file(tmp_path: Path, kind: str) -> None:
    """Neither a pipe nor a directory nor a link planted by a user hangs us or is followed."""
    file = tmp_path / "run/user/1000/systemd/transient/x.scope"
    file.parent.mkdir(parents=True)
    match kind:
        case "fifo":
            os.mkfifo(file)
        case "directory":
            file.mkdir()
        case "binary":
            file.write_bytes(bytes(range(256)))
        case _:
            (tmp_path / "secret").write_text("Description=secret\n")
            file.symlink_to(tmp_path / "secret")

    unit = UnitFiles(tmp_path, SimulatedClock()).unit_at(CgroupPlace("x.scope", "", 1000))

    assert unit is not None
    assert unit.description == ""
