from __future__ import annotations

import os
from pathlib import Path

import pytest
from brainkernel.sense.cgroups import CgroupMounts, CgroupPaths, cgroup_of_lines, ids_within, read_cgroup, read_cgroup_id, read_mounts


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("0::/system.slice/cron.service\n", "/system.slice/cron.service"),
        ("0::/\n", "/"),
        ("1:name=systemd:/system.slice/a\n0::/\n", "/system.slice/a"),  # v1: systemd's own tree says where it lives
        ("1:name=systemd:/system.slice/a\n0::/system.slice/a\n", "/system.slice/a"),  # hybrid
        ("3:cpu,cpuacct:/x\n", ""),
        ("0::/a:b\n", "/a:b"),
        ("", ""),
    ],
)
def test_cgroup_is_that_of_the_unified_hierarchy_or_of_systemd(text: str, path: str) -> None:
    """A process is in one place of the tree that systemd keeps, whichever hierarchy holds it."""
    assert cgroup_of_lines(text) == path


def a_proc(tmp_path: Path, mounts: str) -> Path:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mounts").write_text(mounts)
    (tmp_path / "7").mkdir()
    (tmp_path / "7/cgroup").write_text("0::/of-seven\n")
    return tmp_path


def test_mounts_find_both_kinds_of_hierarchy(tmp_path: Path) -> None:
    """On a hybrid host the unified one is mounted below."""
    proc = a_proc(
        tmp_path,
        "cgroup /sys/fs/cgroup/systemd cgroup rw,xattr,name=systemd 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n",
    )

    assert read_mounts(proc) == CgroupMounts(Path("/sys/fs/cgroup/unified"), has_named=True)
    assert read_mounts(tmp_path / "nowhere") == CgroupMounts(None, has_named=False)


def test_path_without_a_mount_comes_from_the_process(tmp_path: Path) -> None:
    """And is not kept for the id: the process may have moved."""
    proc = a_proc(tmp_path, "")
    paths = CgroupPaths(proc, CgroupMounts(None, has_named=False))

    assert paths.of(42, 7) == "/of-seven"
    assert paths.of(42, 8) == ""
    assert paths.of(42, 0) == ""


def test_path_by_id_needs_no_process(tmp_path: Path) -> None:
    """The kernel opens a cgroup by its inode, also after its last process ended."""
    mount = read_mounts(Path("/proc")).unified
    if mount is None or os.geteuid() != 0:
        pytest.skip("needs root and a cgroup v2 mount, also as /sys/fs/cgroup/unified")
    paths = CgroupPaths(tmp_path, CgroupMounts(mount, has_named=False))
    folders = [mount, *[d for d in mount.iterdir() if d.is_dir()]]

    found = [paths.of(folder.stat().st_ino, 0) for folder in folders]
    unknown = paths.of(2**50, 0)
    paths.close()

    assert found == ["/" + str(f.relative_to(mount)).removeprefix(".") for f in folders]
    assert unknown == ""


def test_read_cgroup_of_a_gone_process_is_none() -> None:
    """Gone is no error."""
    assert read_cgroup(Path("/proc"), 2**22 + 1) is None


def test_ids_within_are_those_of_the_whole_tree(tmp_path: Path) -> None:
    """The cgroup itself and everything below it, nothing beside it."""
    inner = tmp_path / "unit/inner"
    inner.mkdir(parents=True)
    (tmp_path / "beside").mkdir()
    (tmp_path / "unit/cgroup.procs").touch()
    mounts = CgroupMounts(tmp_path, has_named=False)

    assert ids_within(mounts, "/unit") == {(tmp_path / "unit").stat().st_ino, inner.stat().st_ino}
    assert ids_within(mounts, "/gone") == set()
    assert ids_within(CgroupMounts(None, has_named=True), "/unit") == set()


def test_cgroup_id_is_the_inode_of_its_folder(tmp_path: Path) -> None:
    """As the kernel's records name it; 0 where processes are placed in another hierarchy."""
    (tmp_path / "unit").mkdir()

    assert read_cgroup_id(CgroupMounts(tmp_path, has_named=False), "/unit") == (tmp_path / "unit").stat().st_ino
    assert read_cgroup_id(CgroupMounts(tmp_path, has_named=False), "/gone") == 0
    assert read_cgroup_id(CgroupMounts(tmp_path, has_named=True), "/unit") == 0


def test_level_is_that_of_the_hosts_tree_or_unknown(tmp_path: Path) -> None:
    """In a container the mount shows a part of the tree, and what is counted from there is not the kernel's level."""
    mount = read_mounts(Path("/proc")).unified
    if mount is None or os.geteuid() != 0 or mount.stat().st_ino != 1:
        pytest.skip("needs root and the whole cgroup v2 tree, also as /sys/fs/cgroup/unified")
    inner = mount / f"brainkernel-test-{os.getpid()}" / "inner"
    inner.mkdir(parents=True)
    whole, part = (CgroupPaths(tmp_path, CgroupMounts(root, has_named=False)) for root in (mount, inner.parent))
    levels = [paths.level_of(inner.stat().st_ino) for paths in (whole, part)]
    root_level, unknown = whole.level_of(1), whole.level_of(2**50)
    for paths in (whole, part):
        paths.close()
    for folder in (inner, inner.parent):
        folder.rmdir()

    assert levels == [2, None]
    assert (root_level, unknown) == (0, None)
