"""The token budget: a hard stop, on a clock of its own."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from brainkernel.clock import SimulatedClock
from brainkernel.gateway.llm.budget import DAY_NS, HOUR_NS, MINUTE_NS, Budget
from brainkernel.gateway.llm.spendingfile import FILE_NAME, SpendingFile
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

WALL_NS = 1_700_000_000 * 10**9


def a_host(uptime_ns: int = 0, wall_ns: int = WALL_NS) -> SimulatedClock:
    return SimulatedClock(now_boot_ns=uptime_ns, offset_to_wall_ns=wall_ns - uptime_ns)


def a_budget(directory: Path, clock: SimulatedClock) -> Budget:
    said: list[str] = []
    budget = Budget({HOUR_NS: 1000, DAY_NS: 1500}, clock, SpendingFile(directory, clock, said.append))
    assert not said
    return budget


def test_budget_holds_over_a_restart(tmp_path: Path) -> None:
    """A gateway that is killed between two calls, or during one, does not get its tokens back, not even by a reboot."""
    before = a_budget(tmp_path, a_host(uptime_ns=10**15))
    settled = before.reserve(900)
    assert settled
    before.settle(settled, 300)
    assert before.reserve(500)  # under way when the host goes down

    after = a_budget(tmp_path, a_host(uptime_ns=0, wall_ns=WALL_NS + 10 * MINUTE_NS))

    assert after.spent(HOUR_NS) == 800
    assert after.reserve(201) is None
    assert after.reserve(200)


def test_budget_is_free_again_a_day_after_a_restart(tmp_path: Path) -> None:
    """What was spent leaves the hour, then the day, by the clock on the wall."""
    assert a_budget(tmp_path, a_host()).reserve(1000)

    clock = a_host(wall_ns=WALL_NS + HOUR_NS + MINUTE_NS)
    assert a_budget(tmp_path, clock).spent(DAY_NS) == 1000
    assert a_budget(tmp_path, clock).reserve(501) is None
    assert a_budget(tmp_path, clock).reserve(500)
    assert a_budget(tmp_path, a_host(wall_ns=WALL_NS + DAY_NS + 2 * MINUTE_NS)).spent(DAY_NS) == 500


def test_budget_takes_what_lies_in_the_future_for_spent_now(tmp_path: Path) -> None:
    """Setting the clock back is no way to more tokens."""
    assert a_budget(tmp_path, a_host()).reserve(1000)

    assert a_budget(tmp_path, a_host(wall_ns=WALL_NS - 30 * DAY_NS)).reserve(1) is None


def test_clock_that_was_years_ahead_locks_the_budget_for_a_day_only(tmp_path: Path) -> None:
    """What was spent by a wrong clock counts from the start after it was set right; a day later, and a start later, it is over."""
    assert a_budget(tmp_path, a_host(wall_ns=WALL_NS + 3650 * DAY_NS)).reserve(1000)
    assert a_budget(tmp_path, a_host()).spent(DAY_NS) == 1000

    assert a_budget(tmp_path, a_host(wall_ns=WALL_NS + 12 * HOUR_NS)).spent(DAY_NS) == 1000
    assert a_budget(tmp_path, a_host(wall_ns=WALL_NS + DAY_NS + MINUTE_NS)).spent(DAY_NS) == 0


@given(st.binary(max_size=400))
def test_spending_file_takes_any_content(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """A damaged file neither raises nor makes the budget larger than its limit."""
    directory = tmp_path_factory.mktemp("spending")
    (directory / FILE_NAME).write_bytes(content)

    budget = a_budget(directory, a_host())

    assert budget.reserve(1001) is None


def test_spending_file_does_without_a_place(tmp_path: Path) -> None:
    """Where nothing can be written, the budget holds until the end of the process, and it is said."""
    (tmp_path / "taken").write_text("")
    said: list[str] = []

    file = SpendingFile(tmp_path / "taken", SimulatedClock(), said.append)
    file.add(7)

    assert [tokens for _, tokens in file.spent()] == [7]
    assert "begins anew" in said[0]


def test_budget_holds_while_its_disk_is_full(tmp_path: Path) -> None:
    """Models are asked on, within the same limits; it is said once, and written again as soon as that is possible."""
    said: list[str] = []
    file = SpendingFile(tmp_path, a_host(), said.append)
    budget = Budget({HOUR_NS: 1000}, a_host(), file)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        assert budget.reserve(600)
        assert budget.reserve(300)
        assert budget.reserve(200) is None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert budget.reserve(50)

    assert [line.partition(":")[0] for line in said] == [FILE_NAME]
    assert a_budget(tmp_path, a_host()).spent(HOUR_NS) == 950


def test_budget_stops_hard() -> None:
    """What would go over the limit is not spent, though there is room for less."""
    budget = Budget({HOUR_NS: 1000}, SimulatedClock())

    assert budget.reserve(600)
    assert budget.reserve(401) is None
    assert budget.reserve(400)
    assert budget.reserve(1) is None


def test_budget_gives_back_what_was_not_used() -> None:
    """A call reserves the most it may cost and settles for what it did cost."""
    budget = Budget({HOUR_NS: 1000}, SimulatedClock())
    spending = budget.reserve(1000)
    assert spending is not None
    budget.settle(spending, 300)

    assert budget.spent(HOUR_NS) == 300
    assert budget.reserve(700)


def test_budget_holds_in_each_window() -> None:
    """A new hour does not refill the day."""
    clock = SimulatedClock()
    budget = Budget({HOUR_NS: 100, DAY_NS: 150}, clock)

    assert budget.reserve(100)
    clock.now_boot_ns += HOUR_NS
    assert budget.reserve(100) is None
    assert budget.reserve(50)
    clock.now_boot_ns += DAY_NS - HOUR_NS
    assert budget.reserve(100)


def test_budget_of_nothing_lets_nothing_through() -> None:
    """0 tokens means no LLM."""
    assert Budget({HOUR_NS: 0}, SimulatedClock()).reserve(1) is None


def test_budget_says_how_long_to_wait() -> None:
    """Until enough of the oldest spendings leave the window; None where it can never be."""
    clock = SimulatedClock()
    budget = Budget({MINUTE_NS: 100}, clock)
    budget.reserve(60)
    clock.now_boot_ns += 10 * 10**9
    budget.reserve(40)

    assert budget.wait_ns(0) == 0
    assert budget.wait_ns(50) == MINUTE_NS - 10 * 10**9
    assert budget.wait_ns(70) == MINUTE_NS
    assert budget.wait_ns(101) is None


@given(st.lists(st.tuples(st.integers(0, 2 * MINUTE_NS), st.integers(0, 120)), max_size=40))
def test_budget_never_exceeds_its_limit_in_any_window(calls: list[tuple[int, int]]) -> None:
    """However calls are spread, no window of a minute holds more than the limit; and waiting as told suffices."""
    clock = SimulatedClock()
    budget = Budget({MINUTE_NS: 100}, clock)
    spent: list[tuple[int, int]] = []

    for pause_ns, tokens in calls:
        clock.now_boot_ns += pause_ns
        wait_ns = budget.wait_ns(tokens)
        reserved = budget.reserve(tokens)
        assert (reserved is not None) == (wait_ns == 0)
        if reserved is None and wait_ns is not None:
            clock.now_boot_ns += wait_ns
            reserved = budget.reserve(tokens)
            assert reserved is not None
        if reserved is not None:
            spent.append((clock.now_boot_ns, tokens))
        assert sum(t for at, t in spent if clock.now_boot_ns - at < MINUTE_NS) <= 100
