from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from brainkernel.sense.cgroups import read_mounts
from support.kernel import Witness, refuse, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SLOW_SLOT = 20  # waits of a millisecond and more
HOGS = 2


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup v2 folder of our own."""
    root = read_mounts(Path("/proc")).unified
    if root is None:
        refuse("no cgroup v2 hierarchy is mounted; mount -t cgroup2 none /sys/fs/cgroup/unified")
    folder = root / f"brainkernel-test-{os.getpid()}"
    folder.mkdir()
    yield folder
    for below, _, _ in os.walk(folder, topdown=False):
        Path(below).rmdir()


@pytest.fixture
def hogs(request: pytest.FixtureRequest, cgroup: Path) -> Iterator[None]:
    """Two loops on one CPU within that cgroup, or in one below it: each makes the other wait."""
    cgroup /= getattr(request, "param", "")
    cgroup.mkdir(parents=True, exist_ok=True)
    cpu = min(os.sched_getaffinity(0))
    code = f"import os\nos.sched_setaffinity(0, [{cpu}])\nopen({str(cgroup / 'cgroup.procs')!r}, 'w').write('0')\nwhile True: pass"
    with ExitStack() as stack:
        hogs = [stack.enter_context(subprocess.Popen([sys.executable, "-c", code])) for _ in range(HOGS)]
        wait_until("both hogs in their cgroup", lambda: len((cgroup / "cgroup.procs").read_text().split()) == HOGS)
        yield
        for hog in hogs:
            hog.kill()


@pytest.mark.usefixtures("hogs")
def test_followed_cgroup_has_a_histogram_of_its_own(watch: Callable[..., Witness], cgroup: Path) -> None:
    """Its waits are in there; once it is followed no more they are the host's again, and its own are gone."""
    loader = watch().loader
    cgroup_id = cgroup.stat().st_ino

    assert loader.run_queue_of(cgroup_id) is None
    assert loader.follow_cgroup(cgroup_id)
    assert loader.follow_cgroup(cgroup_id)  # once more is no mistake
    wait_until("fifty slow waits", lambda: sum((loader.run_queue_of(cgroup_id) or ())[SLOW_SLOT:]) > 50)

    loader.unfollow_cgroup(cgroup_id)
    before = loader.run_queue() or ()
    wait_until("slow waits of the host", lambda: sum((loader.run_queue() or ())[SLOW_SLOT:]) > sum(before[SLOW_SLOT:]) + 20)
    assert loader.run_queue_of(cgroup_id) is None


@pytest.mark.parametrize("hogs", ["inner/most"], indirect=True)
@pytest.mark.usefixtures("hogs")
def test_cgroups_below_a_followed_one_are_followed_with_it(watch: Callable[..., Witness], cgroup: Path) -> None:
    """A limit on a unit slows down what its processes put into cgroups of their own, too; a sibling is none of it."""
    loader = watch().loader
    sibling = cgroup / "inner" / "sibling"
    sibling.mkdir()

    assert loader.follow_cgroup(cgroup.stat().st_ino)
    assert loader.follow_cgroup(sibling.stat().st_ino)
    wait_until("fifty slow waits", lambda: sum((loader.run_queue_of(cgroup.stat().st_ino) or ())[SLOW_SLOT:]) > 50)

    assert sum(loader.run_queue_of(sibling.stat().st_ino) or ()) == 0


@pytest.mark.usefixtures("hogs")
def test_waits_of_a_followed_cgroup_are_not_the_hosts(watch: Callable[..., Witness], cgroup: Path) -> None:
    """What a limited program waits because of its limit is no harm that others suffer; the host's counts never run backwards."""
    one, other = watch().loader, watch().loader
    cgroup_id = cgroup.stat().st_ino
    assert one.follow_cgroup(cgroup_id)
    start_one, start_other = one.run_queue() or (), other.run_queue() or ()

    wait_until("a hundred slow waits", lambda: sum((one.run_queue_of(cgroup_id) or ())[SLOW_SLOT:]) > 100)
    apart = sum(one.run_queue_of(cgroup_id) or ())
    end_other = other.run_queue() or ()
    end_one = one.run_queue() or ()

    grown_one, grown_other = sum(end_one) - sum(start_one), sum(end_other) - sum(start_other)
    assert all(after >= before for before, after in zip(start_one, end_one, strict=True))
    assert grown_one < grown_other  # the other loader follows nobody, so it counts all
    assert abs(grown_other - grown_one - apart) <= max(50, grown_other // 20)  # they are not read at one moment


def test_followed_cgroups_are_bounded(watch: Callable[..., Witness]) -> None:
    """The 65th is refused, and a place that becomes free is used again."""
    loader = watch().loader

    taken = [loader.follow_cgroup(i) for i in range(1, 66)]
    loader.unfollow_cgroup(1)

    assert taken == [True] * 64 + [False]
    assert loader.follow_cgroup(65)
