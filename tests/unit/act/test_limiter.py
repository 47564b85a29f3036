"""The limiter as the daemon sees it: asks without waiting, and results that come."""

from __future__ import annotations

import select
import threading
import time
from typing import TYPE_CHECKING, TypeVar

import pytest
from brainkernel.act.enforcer import Permissions
from brainkernel.act.limiter import MAX_WAITING, RETRY_NS, STALE_AFTER_NS, Applied, Limiter, NotApplied, Released, release_everything
from brainkernel.act.scheduling import Scheduling
from brainkernel.clock import SimulatedClock
from brainkernel.errors import ActError
from brainkernel.model import Limit, ReleaseResult
from support.act_stage import A_MINUTE_NS, QUOTA, WEIGHT, Stage, a_decision
from support.fake_host import write_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T = TypeVar("T")
PATIENCE_MS = 20_000  # for a busy machine; nothing is measured with it


class Daemon:
    """What the daemon does with a limiter: waits at its descriptor and takes the results."""

    def __init__(self, directory: Path) -> None:
        self.stage = Stage(directory)
        self.stage.ledger.close()  # the limiter opens its own
        self.clock = SimulatedClock(1000)
        self.protected: set[str] = set()
        self.asked = threading.Event()  # systemd was asked while it is held
        self.open()

    def open(self) -> None:
        self.limiter = Limiter(
            self.stage.state_dir,
            Permissions(lambda exe, unit: "a test says so" if exe in self.protected else ""),
            self.clock,
            self.stage.fake.host,
            managers=self.stage.managers,
            patience=self.stage.patience,
            sweep_s=0.01,
        )
        self.pending: list[object] = []

    def next(self, kind: type[T]) -> T:
        """Wait for a result of one kind; results of others stay for later."""
        while True:
            for result in self.pending:
                if isinstance(result, kind):
                    self.pending.remove(result)
                    return result
            readable, _, _ = select.select([self.limiter], [], [], PATIENCE_MS / 1000)
            assert readable, f"no {kind.__name__} came, only {self.pending}"
            self.pending += self.limiter.results()

    def applied(self, limit: Limit = QUOTA) -> Applied:
        self.limiter.apply(a_decision(self.stage.hog, limit))
        return self.next(Applied)

    def hold_systemd(self) -> threading.Event:
        """Let systemd not answer until the event is set."""
        gate = threading.Event()
        self.asked = threading.Event()

        def wait(_: str) -> None:
            self.asked.set()
            assert gate.wait(PATIENCE_MS / 1000)

        self.stage.systemd.deaf = wait
        return gate


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path)
    yield daemon
    daemon.stage.systemd.deaf = lambda _: None
    daemon.limiter.close()
    daemon.stage.fake.close()


def test_apply_and_release_report_what_became_of_them(daemon: Daemon) -> None:
    """Both are asked for without waiting; the descriptor says when there is news."""
    action = daemon.applied().action
    daemon.limiter.release(action.id, "a person asked")

    released = daemon.next(Released)

    assert (released.action.id, released.result, released.why) == (1, ReleaseResult.RESTORED, "a person asked")
    assert daemon.limiter.results() == []


def test_apply_does_not_wait_for_systemd(daemon: Daemon) -> None:
    """PID 1 may need half a minute; the pipeline goes on."""
    gate = daemon.hold_systemd()

    daemon.limiter.apply(a_decision(daemon.stage.hog, QUOTA))  # returns though nobody answers

    gate.set()
    daemon.next(Applied)


def test_a_refusal_says_its_rule(daemon: Daemon) -> None:
    """The daemon shows it in `explain`."""
    daemon.protected.add("/usr/bin/hog")

    daemon.limiter.apply(a_decision(daemon.stage.hog, QUOTA))

    refusal = daemon.next(NotApplied).refusal
    assert refusal.rule == "protected_inside"
    assert "a test says so" in refusal.reason


def test_a_step_reports_the_new_limit_with_its_lease(daemon: Daemon) -> None:
    """The next step of a ladder takes the place of the last one."""
    daemon.applied(WEIGHT)

    daemon.limiter.step(1, QUOTA, 5 * A_MINUTE_NS)

    action = daemon.next(Applied).action
    assert (action.limit, action.expires_ns) == (QUOTA, 5 * A_MINUTE_NS)


def test_a_step_that_the_host_cannot_have_leaves_the_old_one(daemon: Daemon) -> None:
    """No device honours an I/O weight here; the weight before it goes on holding."""
    daemon.applied(WEIGHT)

    daemon.limiter.step(1, Limit(io_weight=20), 5 * A_MINUTE_NS)

    assert daemon.next(NotApplied).refusal.rule == "no_effect"
    assert daemon.stage.unit.limits["CPUWeight"] == 20


def test_a_step_that_finds_somebody_elses_value_ends_the_limit(daemon: Daemon) -> None:
    """We stand down, and say so."""
    daemon.applied(WEIGHT)
    daemon.stage.systemd.foreign_set("hog.service", "CPUWeight", 300)

    daemon.limiter.step(1, QUOTA, 5 * A_MINUTE_NS)

    assert daemon.next(Released).result is ReleaseResult.FOREIGN
    assert daemon.stage.unit.limits["CPUWeight"] == 300


def test_a_lease_that_is_not_renewed_ends_the_limit(daemon: Daemon) -> None:
    """Should the pipeline stall, no limit outlives its lease."""
    daemon.applied()

    daemon.clock.advance_to(1001 + A_MINUTE_NS)

    assert daemon.next(Released).why == "its lease ended"
    assert daemon.stage.unit.limits == daemon.stage.unit.configured


def test_a_renewed_lease_holds(daemon: Daemon) -> None:
    """A limit stands for as long as somebody wants it."""
    daemon.applied()
    daemon.limiter.renew(1, 10 * A_MINUTE_NS)
    daemon.limiter.step(99, QUOTA, 0)  # answered after the renewal: the queue is in order
    daemon.next(NotApplied)

    daemon.clock.advance_to(9 * A_MINUTE_NS)
    daemon.limiter.step(99, QUOTA, 0)
    daemon.next(NotApplied)

    assert daemon.stage.unit.limits["CPUQuotaPerSecUSec"] == 200_000


@pytest.mark.parametrize("years", [-30, 30])
def test_a_clock_that_is_set_moves_no_lease(daemon: Daemon, years: int) -> None:
    """Leases run by CLOCK_BOOTTIME, which nobody can set."""
    daemon.limiter.apply(a_decision(daemon.stage.hog, QUOTA))
    expires_ns = daemon.next(Applied).action.expires_ns

    daemon.clock.offset_to_wall_ns = years * 365 * 24 * 60 * A_MINUTE_NS
    daemon.limiter.apply(a_decision(daemon.stage.hog, QUOTA, 2))

    assert daemon.next(NotApplied).refusal.rule == "already_limited"  # a whole turn of the thread later it still stands
    daemon.clock.advance_to(expires_ns)
    assert daemon.next(Released).why == "its lease ended"


def test_the_end_of_the_process_ends_the_limit(daemon: Daemon) -> None:
    """It was meant for this process; those left in the unit are free."""
    daemon.stage.fake.spawn(501, "/system.slice/hog.service")
    daemon.applied()

    daemon.stage.fake.end(500)

    assert daemon.next(Released).why == "the process ended"
    assert daemon.stage.unit.limits == daemon.stage.unit.configured


def test_a_program_that_waits_for_memory_is_freed(daemon: Daemon) -> None:
    """memory_high never strangles anybody: the guard looks every second."""
    write_file(daemon.stage.fake.root / "proc/meminfo", "SwapTotal: 100 kB\nSwapFree: 100 kB\n")
    daemon.applied(Limit(memory_high_bytes=64 << 20))

    write_file(daemon.stage.fake.dir_of("/system.slice/hog.service") / "memory.pressure", "full avg10=50.00 avg60=0 avg300=0 total=1\n")

    assert "waits for memory" in daemon.next(Released).why
    assert daemon.stage.unit.limits == daemon.stage.unit.configured


def test_a_child_that_slipped_through_is_followed_without_being_told_of(daemon: Daemon) -> None:
    """A limit on single tasks takes in what its target has become; for the ladder it is the same step."""
    daemon.stage.systemd.add("cron.service")
    daemon.stage.fake.spawn(800, "/system.slice/cron.service", exe="/usr/sbin/cron", session=800)
    job = daemon.stage.fake.spawn(810, "/system.slice/cron.service", exe="/usr/bin/job", ppid=800, session=810)
    daemon.limiter.apply(a_decision(job, Limit(cpu_weight=0)))
    daemon.next(Applied)

    kept = daemon.stage.fake.scheduler.values[810]
    daemon.stage.fake.spawn(811, "/system.slice/cron.service", ppid=810, session=810, scheduled=Scheduling())

    deadline = time.monotonic() + PATIENCE_MS / 1000
    while daemon.stage.fake.scheduler.values[811] != kept:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert daemon.limiter.results() == []


def test_a_changed_value_ends_the_limit_by_itself(daemon: Daemon) -> None:
    """Whoever changes it need not tell us."""
    daemon.applied()

    daemon.stage.systemd.foreign_set("hog.service", "CPUQuotaPerSecUSec", 700_000)

    assert daemon.next(Released).result is ReleaseResult.FOREIGN


def test_what_was_written_past_systemd_is_reported_once_and_taken_back_at_the_end(daemon: Daemon) -> None:
    """It stays theirs while we run; systemd's memory of ours goes with us."""
    daemon.applied()
    file = daemon.stage.fake.dir_of("/system.slice/hog.service") / "cpu.max"
    whole = file.with_suffix(".new")
    whole.write_text("50000 100000\n")
    whole.rename(file)  # the kernel takes a value whole, and the limiter looks all the time
    assert daemon.next(Released).result is ReleaseResult.FOREIGN

    left = daemon.limiter.release_all("the agent stops", 20)

    assert left == 0
    assert daemon.limiter.results() == []
    assert daemon.stage.unit.limits == daemon.stage.unit.configured


def test_a_release_that_fails_is_said_once_and_tried_again(daemon: Daemon) -> None:
    """No limit is forgotten because systemd was busy."""
    daemon.applied()

    def busy(_: str) -> None:
        msg = "org.freedesktop.DBus.Error.NoReply: busy"
        raise ActError(msg)

    daemon.stage.systemd.deaf = busy
    daemon.limiter.release(1, "a person asked")
    assert daemon.next(Released).result is ReleaseResult.FAILED

    daemon.stage.systemd.deaf = lambda _: None
    daemon.clock.advance_to(1001 + RETRY_NS)
    assert daemon.next(Released).result is ReleaseResult.RESTORED


def test_release_all_ends_everything_and_what_waits(daemon: Daemon) -> None:
    """The agent stops: nothing stands, nothing new begins, and systemd forgets our files."""
    daemon.applied()
    gate = daemon.hold_systemd()
    other = daemon.stage.fake.spawn(501, "/system.slice/hog.service")
    daemon.limiter.apply(a_decision(other, QUOTA, 2))  # the thread is held at this one
    daemon.limiter.apply(a_decision(other, QUOTA, 3))
    threading.Timer(0.05, gate.set).start()

    left = daemon.limiter.release_all("the agent stops", 20)

    assert left == 0
    assert daemon.stage.systemd.dropins() == []
    assert daemon.stage.systemd.reloads == 1
    refusals = {daemon.next(NotApplied).decision_id: True for _ in range(2)}
    assert set(refusals) == {2, 3}


def test_release_all_leaves_a_reload_to_an_administrator_who_is_editing(daemon: Daemon) -> None:
    """It would activate half of their work."""
    daemon.applied()
    daemon.stage.systemd.edited = frozenset({"theirs.service"})

    daemon.limiter.release_all("the agent stops", 20)

    assert daemon.stage.systemd.reloads == 0
    assert daemon.stage.unit.limits == daemon.stage.unit.configured


def test_release_all_returns_though_systemd_does_not(daemon: Daemon) -> None:
    """The stop of the agent is not held up; the ledger keeps what stands."""
    daemon.applied()
    gate = daemon.hold_systemd()

    left = daemon.limiter.release_all("the agent stops", 0.05)

    assert left == 1
    gate.set()


def test_what_an_earlier_run_left_is_released_at_the_start(daemon: Daemon) -> None:
    """A crash of ours releases everything."""
    daemon.applied()
    daemon.limiter.close()

    daemon.open()

    released = daemon.next(Released)
    assert (released.result, released.why) == (ReleaseResult.RESTORED, "left by an earlier run")
    assert daemon.stage.unit.limits == daemon.stage.unit.configured


def test_an_overload_refuses_new_limits_and_not_releases(daemon: Daemon) -> None:
    """The queue of limits is bounded; releases overtake it."""
    daemon.applied()
    gate = daemon.hold_systemd()
    other = daemon.stage.fake.spawn(501, "/system.slice/hog.service")
    for number in range(MAX_WAITING + 2):
        daemon.limiter.apply(a_decision(other, QUOTA, 10 + number))
    assert daemon.next(NotApplied).refusal.rule == "busy"

    daemon.limiter.release(1, "a person asked")
    gate.set()

    assert daemon.next(Released).result is ReleaseResult.RESTORED


def test_a_stale_decision_is_not_carried_out(daemon: Daemon) -> None:
    """It judged a harm that may be over by now."""
    gate = daemon.hold_systemd()
    other = daemon.stage.fake.spawn(501, "/system.slice/hog.service")
    daemon.limiter.apply(a_decision(other, QUOTA, 2))
    assert daemon.asked.wait(PATIENCE_MS / 1000)
    daemon.limiter.apply(a_decision(daemon.stage.hog, QUOTA, 3))
    daemon.clock.advance_to(2000 + STALE_AFTER_NS)
    gate.set()

    refused = daemon.next(NotApplied)

    assert refused.decision_id == 3
    assert "may be over" in refused.refusal.reason


def test_a_protection_that_raises_is_a_refusal(daemon: Daemon, caplog: pytest.LogCaptureFixture) -> None:
    """No error of any part ends the thread: limits hang on it."""
    daemon.limiter._enforcer.permissions = Permissions(lambda exe, unit: exe[1000])

    daemon.limiter.apply(a_decision(daemon.stage.hog, QUOTA))

    assert daemon.next(NotApplied).refusal.rule == "internal"
    daemon.limiter._enforcer.permissions = Permissions(lambda exe, unit: "")
    daemon.applied()
    assert "could not be handled" in caplog.text


def test_release_everything_is_told_to_ask_a_running_agent(daemon: Daemon) -> None:
    """Two must not write at once."""
    with pytest.raises(ActError, match="another brainkernel"):
        release_everything(daemon.stage.state_dir, daemon.stage.fake.host, managers=daemon.stage.managers)


def test_release_everything_has_nothing_to_do_where_no_agent_ever_was(tmp_path: Path) -> None:
    """Not even a directory is made."""
    assert release_everything(tmp_path / "never") == []
    assert not (tmp_path / "never").exists()


def test_after_a_reboot_nothing_is_released(daemon: Daemon) -> None:
    """Run-time properties ended with the boot; what is set now is somebody else's, even if it looks like ours."""
    daemon.applied()
    daemon.limiter.close()
    daemon.stage.fake.boot("99999999-0000-0000-0000-000000000000")

    released = release_everything(daemon.stage.state_dir, daemon.stage.fake.host, managers=daemon.stage.managers)

    assert released == []
    assert daemon.stage.unit.limits["CPUQuotaPerSecUSec"] == 200_000
    daemon.open()
