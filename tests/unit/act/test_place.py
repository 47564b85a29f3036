"""What is read of a process's place, and what is made of hostile or missing facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from brainkernel.act import cgroupfs, procfs
from brainkernel.act.cgroupfs import CgroupVersion, version_of
from brainkernel.act.dropins import property_of, remove_dropin, value_of
from brainkernel.act.host import Host
from brainkernel.act.place import read_place
from brainkernel.act.procfs import family_of, lock_process, read_member
from brainkernel.act.systemd import NOT_SET
from brainkernel.errors import ActError
from brainkernel.model import Limit, ProcessKey
from hypothesis import given
from hypothesis import strategies as st
from support.act_stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as stage:
        yield stage


def no_protection(exe: str, unit: str) -> str:
    return ""


def test_a_place_is_read_whole(stage: Stage) -> None:
    """Unit, members, cgroup and controller in one look."""
    stage.fake.spawn(501, "/system.slice/hog.service", exe="/usr/bin/gzip", ppid=500)

    place = read_place(stage.fake.host, stage.managers, stage.hog, lambda exe, unit: f"{exe} in {unit}" if "gzip" in exe else "")

    assert place is not None
    assert place.unit is not None
    assert (place.unit.name, place.cgroup, place.user_uid) == ("hog.service", "/system.slice/hog.service", None)
    assert place.unit_cgroup_id == stage.fake.dir_of("/system.slice/hog.service").stat().st_ino
    assert place.cpu_controller
    assert not place.ours
    assert {member.key.tgid: member.protected for member in place.members} == {500: "", 501: "/usr/bin/gzip in hog.service"}


def test_a_place_of_a_process_that_ended_is_none(stage: Stage) -> None:
    """Gone, or its pid belongs to another now."""
    assert read_place(stage.fake.host, stage.managers, ProcessKey(500, 7), no_protection) is None
    assert read_place(stage.fake.host, stage.managers, ProcessKey(9999, 7), no_protection) is None


def test_a_unit_elsewhere_than_the_process_is_not_believed(stage: Stage) -> None:
    """A user's manager may name any cgroup as its unit's."""
    stage.systemd.path_of = lambda unit: "/system.slice/ssh.service"  # type: ignore[method-assign]
    stage.systemd.unit_of_cgroup = lambda path: stage.systemd.unit("hog.service")  # type: ignore[method-assign]

    with pytest.raises(ActError, match="but the process is at"):
        read_place(stage.fake.host, stage.managers, stage.hog, no_protection)


def test_a_loaded_bpf_scheduler_is_named(stage: Stage, tmp_path: Path) -> None:
    """It need not heed weights and quotas."""
    (tmp_path / "sys/kernel/sched_ext/root").mkdir(parents=True)
    (tmp_path / "sys/kernel/sched_ext/state").write_text("enabled\n")
    (tmp_path / "sys/kernel/sched_ext/root/ops").write_text("lavd_1.0.9\n")

    place = read_place(stage.fake.host, stage.managers, stage.hog, no_protection)

    assert place is not None
    assert place.sched_ext == "lavd_1.0.9"


@pytest.mark.parametrize(
    ("cgroup", "container"),
    [
        ("/system.slice/docker-0123456789abcdef.scope", "docker-0123456789abcdef"),
        ("/kubepods.slice/kubepods-burstable.slice/kubepods-pod1.slice/cri-containerd-0123456789ab.scope", "kubepods"),
        ("/machine.slice/machine-qemu1.scope", "machine.slice"),
        ("/lxc.payload.c1/system.slice/x.service", "lxc.payload."),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-0123456789abcdef.scope", "libpod-0123456789abcdef"),
        ("/docker/0123456789abcdef", "docker"),
        ("/system.slice/docker.service", ""),
        ("/system.slice/my-lxcfs.service", ""),
    ],
)
def test_a_container_is_known_by_its_cgroup(stage: Stage, cgroup: str, container: str) -> None:
    """Runtimes name their cgroups in ways that no service does."""
    stage.fake.make_cgroup(cgroup)
    key = stage.fake.spawn(700, cgroup)

    place = read_place(stage.fake.host, stage.managers, key, no_protection)

    assert place is not None
    assert place.container == container


@pytest.mark.parametrize(
    ("mounts", "version"),
    [
        ("30 24 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n", CgroupVersion.V2),
        ("30 24 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs ro\n31 30 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n", CgroupVersion.V1),
        ("30 24 0:26 / /sys/fs/cgroup rw - tmpfs t ro\n31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 c rw\n", CgroupVersion.HYBRID),
        ("30 24 0:26 / /sys/fs/cgroup rw - tmpfs t ro\n31 30 0:27 / /sys/fs/cgroup rw - cgroup2 c rw\n", CgroupVersion.V2),
        ("", CgroupVersion.V1),
    ],
    ids=["unified", "v1", "hybrid", "mounted over", "nothing"],
)
def test_the_cgroup_version_is_that_of_the_last_mount_on_the_root(mounts: str, version: CgroupVersion) -> None:
    """As the kernel resolves the path."""
    assert version_of(mounts, Host().cgroup) is version


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("0::/system.slice/x.service\n", "/system.slice/x.service"),
        ("12:cpu:/old\n0::/new\n", "/new"),
        ("0::/\n", "/"),
        ("0::/system.slice/x.service (deleted)\n", None),
        ("0::/../outside\n", None),
        ("12:cpu:/old\n", None),
        ("", None),
        ("0::/with:colons::inside\n", "/with:colons::inside"),
    ],
)
def test_the_path_is_that_of_the_unified_line(text: str, path: str | None) -> None:
    """A removed cgroup and one outside of our namespace are none."""
    assert cgroupfs.path_of(text) == path


@given(name=st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=15))
def test_any_name_of_a_process_is_read(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """A comm may hold parentheses, spaces and line ends; the fields after it are found all the same."""
    proc = tmp_path_factory.mktemp("proc")
    (proc / "7").mkdir()
    tail = " ".join(["S", "5", "7", "6", "34816", "-1", "4194304", *["0"] * 12, "321", "0"])
    (proc / "7/stat").write_bytes(f"7 ({name}) {tail}\n".encode())

    member = read_member(proc, 7)

    assert member is not None
    assert (member.ppid, member.session, member.tty, member.key) == (5, 6, 34816, ProcessKey(7, 3_210_000_000))
    assert member.comm == name.replace("\r\n", "\n").replace("\r", "\n")


def test_a_lock_lets_go_when_the_process_ends(stage: Stage) -> None:
    """Even if its pid is given to another at once."""
    with lock_process(stage.fake.host, stage.hog) as lock:
        assert lock is not None
        assert lock.holds()
        stage.fake.end(500)
        stage.fake.spawn(500, "/system.slice/hog.service")
        assert not lock.holds()

    with lock_process(stage.fake.host, stage.hog) as lock:
        assert lock is None


def test_a_threaded_cgroup_below_a_unit_is_passed_over(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cgroup.procs cannot be read (EOPNOTSUPP); its processes are listed at the root of the subtree."""
    stage.fake.make_cgroup("/system.slice/hog.service/threads", "threaded")
    real = procfs.text_of

    def text_of(path: Path) -> str | None:
        if "threads" in path.parts:
            raise OSError(95, "Operation not supported")
        return real(path)

    monkeypatch.setattr(cgroupfs, "text_of", text_of)

    assert cgroupfs.pids_below(stage.fake.host.cgroup, "/system.slice/hog.service") == (500,)


def test_a_family_is_the_target_and_what_it_started(stage: Stage) -> None:
    """Children of children too; no siblings, and no endless loop when parents form one."""
    for tgid, ppid in ((501, 500), (502, 501), (503, 1), (504, 505), (505, 504)):
        stage.fake.spawn(tgid, "/system.slice/hog.service", ppid=ppid)
    members = [member for tgid in (502, 505, 504, 503, 501, 500) if (member := read_member(stage.fake.host.proc, tgid))]

    assert [member.key.tgid for member in family_of(stage.hog, members)] == [500, 501, 502]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (Limit(cpu_weight=20), ("20", "0", "max 100000")),
        (Limit(cpu_weight=0), ("0", "1", "max 100000")),
        (Limit(cpu_quota_pct=150), ("100", "0", "150000 100000")),
        (Limit(cpu_quota_pct=0.2), ("100", "0", "1000 100000")),
    ],
    ids=str,
)
def test_expected_files_are_those_of_the_limit(limit: Limit, expected: tuple[str, str, str]) -> None:
    """Everything that the limit does not name stays at what was there."""
    assert tuple(cgroupfs.expected_files(limit, {})[name] for name in cgroupfs.CPU_FILES) == expected


@pytest.mark.parametrize(
    ("name", "one", "other", "same"),
    [
        ("cpu.max", None, "max 100000", True),
        ("cpu.max", "", "max 100000", True),
        ("cpu.max", "20000 100000", "2000 10000", True),
        ("cpu.max", "20000 100000", "21000 100000", False),
        ("cpu.max", "20000 100000", "max 100000", False),
        ("cpu.weight", None, "100", True),
        ("cpu.weight", "100", "20", False),
        ("cpu.idle", "1", None, False),
    ],
)
def test_values_are_compared_by_their_meaning(name: str, one: str | None, other: str | None, same: bool) -> None:
    """Absent means the default; a quota is a share."""
    assert cgroupfs.same_value(name, one, other) is same
    assert cgroupfs.same_value(name, other, one) is same


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("# c\n[Service]\nCPUWeight=20\n", ("CPUWeight", 20)),
        ("[Scope]\nCPUWeight=idle\n", ("CPUWeight", 0)),
        ("[Service]\nCPUWeight=\n", ("CPUWeight", NOT_SET)),
        ("[Service]\nCPUQuota=20%\n", ("CPUQuotaPerSecUSec", 200_000)),
        ("[Service]\nCPUQuota=20.00%\n", ("CPUQuotaPerSecUSec", 200_000)),
        ("[Service]\nCPUQuota=\n", ("CPUQuotaPerSecUSec", NOT_SET)),
        ("[Service]\nCPUWeight=20\nMemoryMax=1G\n", None),
        ("[Service]\nCPUWeight=much\n", None),
        ("[Service]\nMemoryMax=1G\n", None),
        ("", None),
    ],
)
def test_a_drop_in_is_understood_or_left_alone(text: str, value: tuple[str, int] | None) -> None:
    """Only one plain setting, as systemd writes it, is taken for a file of ours."""
    assert value_of(text) == value


@given(st.text(max_size=200))
def test_any_text_of_a_drop_in_is_survived(text: str) -> None:
    """An administrator may write anything into it."""
    value_of(text)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/run/systemd/system.control/x.service.d/50-CPUWeight.conf", "CPUWeight"),
        ("/run/systemd/transient/x.scope.d/50-CPUQuota.conf", "CPUQuotaPerSecUSec"),
        ("/etc/systemd/system.control/x.service.d/50-CPUWeight.conf", None),
        ("/run/systemd/../../etc/x.service.d/50-CPUWeight.conf", None),
        ("/run/systemd/system.control/x.service.d/50-MemoryMax.conf", None),
        ("/run/user/1000/systemd/user.control/x.service.d/50-CPUWeight.conf", None),
    ],
)
def test_only_run_time_drop_ins_of_our_properties_are_ours(path: str, found: str | None) -> None:
    """What a manager names as a drop-in may be anywhere; only there do we remove files."""
    assert property_of(Host().run, None, path) == found


def test_a_drop_in_with_another_value_is_not_removed(tmp_path: Path) -> None:
    """It was changed since: it is somebody else's."""
    path = tmp_path / "x.service.d/50-CPUWeight.conf"
    path.parent.mkdir()
    path.write_text("[Service]\nCPUWeight=77\n")

    assert not remove_dropin(path, None, [("CPUWeight", 20), ("CPUWeight", NOT_SET)])
    assert path.exists()


def test_a_removed_drop_in_takes_its_empty_directory_along(tmp_path: Path) -> None:
    """But not one where others live."""
    ours, other = tmp_path / "x.service.d/50-CPUWeight.conf", tmp_path / "x.service.d/50-CPUQuota.conf"
    ours.parent.mkdir()
    ours.write_text("[Service]\nCPUWeight=20\n")
    other.write_text("[Service]\nCPUQuota=5%\n")

    assert remove_dropin(ours, None, [("CPUWeight", 20)])
    assert other.exists()
    assert remove_dropin(other, None, [("CPUQuotaPerSecUSec", 50_000)])
    assert not ours.parent.exists()


def test_cpu_stat_is_read_by_name(stage: Stage) -> None:
    """For the effect of a limit; empty for a cgroup that is gone."""
    (stage.fake.dir_of("/system.slice/hog.service") / "cpu.stat").write_text("usage_usec 5\nthrottled_usec 7\n")

    assert cgroupfs.read_cpu_stat(stage.fake.host.cgroup, "/system.slice/hog.service") == {"usage_usec": 5, "throttled_usec": 7}
    assert cgroupfs.read_cpu_stat(stage.fake.host.cgroup, "/nowhere") == {}
