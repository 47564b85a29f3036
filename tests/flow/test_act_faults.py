"""Every system call of `act` fails, one after the other: nothing is raised, and no limit is forgotten."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from brainkernel import act
from brainkernel.act.bus import BusError
from brainkernel.act.scheduling import Scheduling
from brainkernel.act.systemd import NOT_SET
from brainkernel.model import Action, Limit, Refusal, ReleaseResult
from support.act_stage import QUOTA, WEIGHT, Stage
from support.fake_systemd import value_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from brainkernel.model import ProcessKey

ACT = str(Path(act.__file__).parent)
SUPPORT = str(Path(__file__).parents[1] / "support")
CALLS = frozenset(
    """
    open read write pread pwrite fsync ftruncate fstat stat lstat readlink scandir listdir mkdir rmdir unlink rename flock poll
    """.split()
)
ERRORS = (errno.EACCES, errno.ENOENT, errno.ESRCH, errno.EBUSY, errno.ENOSPC)
TIMED_OUT = BusError("org.freedesktop.DBus.Error.NoReply", "no answer within 25 s")
LEFT_SUBTREE = "/openrc.batch"

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # a file object whose read fails is closed by the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _without_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    # Some thousand syncs would take minutes; that of the ledger is among the calls that fail all the same.
    real = os.fstat
    monkeypatch.setattr(os, "fsync", lambda fd: real(fd) and None)


@pytest.fixture
def memory() -> Iterator[Path]:
    """Some thousand hosts of files: on a disk they would take minutes."""
    with tempfile.TemporaryDirectory(prefix="act-faults-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as directory:
        yield Path(directory)


class Fault:
    """One failure: the call number `at` of those that `act` makes does not happen but raises."""

    def __init__(self, stage: Stage, at: int, code: int) -> None:
        self.stage, self.left, self.code, self.fired = stage, at, code, ""

    def due(self, what: str) -> bool:
        if self.fired:
            return False
        self.left -= 1
        if self.left >= 0:
            return False
        self.fired = what
        return True

    def system_call(self, frame: FrameType, event: str, called: Any) -> None:
        name = getattr(called, "__name__", "")
        if event != "c_call" or name not in CALLS or not _is_of_act(frame):
            return
        if self.due(f"{name} in {_where(frame)}"):
            raise OSError(self.code, os.strerror(self.code))

    def thread_call(self, what: str) -> None:
        if self.due(what):
            raise OSError(self.code, os.strerror(self.code))

    def bus_call(self, method: str) -> None:
        if self.due(f"D-Bus {method}"):
            raise TIMED_OUT

    @contextmanager
    def armed(self) -> Iterator[None]:
        fake = self.stage.fake
        self.stage.systemd.deaf, fake.scheduler.deaf, fake.cgroups.deaf = self.bus_call, self.thread_call, self.thread_call
        before = sys.getprofile()
        sys.setprofile(self.system_call)
        try:
            yield
        finally:
            sys.setprofile(before)
            self.stage.systemd.deaf = fake.scheduler.deaf = fake.cgroups.deaf = lambda _: None


def _is_of_act(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith(ACT):
            return True
        if frame.f_code.co_filename.startswith(SUPPORT):
            return False
        frame = frame.f_back
    return False


def _where(frame: FrameType | None) -> str:
    while frame is not None and not frame.f_code.co_filename.startswith(ACT):
        frame = frame.f_back
    return f"{frame.f_code.co_name}:{frame.f_lineno}" if frame else "?"


class Place:
    """A host with a hog at one kind of place, made anew for each failure."""

    def __init__(self, directory: Path, route: str) -> None:
        self.stage = Stage(directory)
        self.route = route
        fake, systemd = self.stage.fake, self.stage.systemd
        self.hog: ProcessKey = self.stage.hog
        if route == "scope":
            self.hog = self.stage.login()
        if route == "task":
            systemd.add("cron.service")
            fake.spawn(800, "/system.slice/cron.service", exe="/usr/sbin/cron", session=800)
            self.hog = fake.spawn(810, "/system.slice/cron.service", exe="/usr/bin/miner", ppid=800, session=810)
            fake.add_thread(810, 811)
        if route == "subtree":
            shutil.rmtree(directory / "run/systemd")
            fake.make_cgroup(LEFT_SUBTREE)
            self.hog = fake.spawn(600, LEFT_SUBTREE)
            fake.spawn(601, LEFT_SUBTREE, ppid=600)

    def assert_untouched(self, what: str, code: int) -> None:
        stage = self.stage
        assert stage.ledger.live == {}, what
        # A drop-in that could not be removed sets what was there before; the log says so.
        assert {value_in(path.read_text()) for path in stage.systemd.dropins()} <= {NOT_SET}, what
        for unit in stage.systemd.units.values():
            assert unit.limits == unit.configured, what
        if code in (errno.ENOENT, errno.ESRCH):
            return  # the kernel says these of what is gone only: there is nothing left of it to restore
        ended = {stage.systemd.path_of(unit) for unit in stage.systemd.units.values() if not unit.active}
        assert not ended & set(stage.fake.cgroup_of.values()), what  # systemd would never free them there
        assert set(stage.fake.scheduler.values.values()) == {Scheduling()}, what
        assert set(stage.fake.scheduler.autogroups.values()) == {0}, what
        assert not stage.fake.dir_of("/brainkernel").exists(), what
        control = set((stage.fake.dir_of("/") / "cgroup.subtree_control").read_text().split())
        # Busy means that somebody else needs the controller by now: then it is theirs.
        assert control - {"memory", "pids"} <= ({"cpu"} if code == errno.EBUSY else set()), what


def nothing(_: Place) -> None:
    """No preparation."""


def apply(place: Place) -> object:
    return place.stage.apply(QUOTA, key=place.hog)


def apply_weight(place: Place) -> None:
    assert isinstance(place.stage.apply(WEIGHT, key=place.hog), Action)


def apply_and_end(place: Place) -> None:
    apply_weight(place)
    place.stage.systemd.stop_main_process("hog.service")


def step(place: Place) -> object:
    return place.stage.step(Limit(cpu_weight=0))


def release(place: Place) -> object:
    return place.stage.release()


WORKS: dict[str, tuple[Callable[[Place], None], Callable[[Place], object]]] = {
    "apply": (nothing, apply),
    "step": (apply_weight, step),
    "release": (apply_weight, release),
    "free": (apply_and_end, release),
}
CASES = [(route, work) for route in ("unit", "scope", "task", "subtree") for work in WORKS if work != "free" or route == "unit"]


@pytest.mark.parametrize("shift", range(len(ERRORS)))
@pytest.mark.parametrize(("route", "work"), CASES)
def test_any_call_may_fail(memory: Path, route: str, work: str, shift: int) -> None:
    """Whichever it is and in whichever of five ways, what comes back is an answer, and what stands is in the ledger until it is undone."""
    prepare, do = WORKS[work]
    at = 0
    while True:
        place = Place(memory / str(at), route)
        with place.stage:
            prepare(place)
            code = ERRORS[(at + shift) % len(ERRORS)]
            fault = Fault(place.stage, at, code)
            with fault.armed():
                answer = do(place)
            assert isinstance(answer, Action | Refusal | ReleaseResult), f"{fault.fired}: {answer}"
            for action_id in tuple(place.stage.ledger.live):
                place.stage.enforcer.undo.release(action_id, last=True)
            place.assert_untouched(f"call {at}: {fault.fired} failed with {os.strerror(code)}; the answer was {answer}", code)
        shutil.rmtree(memory / str(at))
        if not fault.fired:
            break
        at += 1
    assert at > 10
