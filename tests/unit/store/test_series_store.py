"""Figures over time on good days and bad ones: rolled up rightly, bounded, and no trouble to anybody else."""

from __future__ import annotations

import math
import os
import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from brainkernel.clock import SimulatedClock
from brainkernel.store.series import (
    CELLS_MAX,
    HOURS,
    MAX_BYTES,
    MINUTES,
    NAMES_MAX,
    PENDING_MAX,
    POINTS_MAX,
    SECONDS,
    SERIES_FILE_NAME,
    Series,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path

S = 1_000_000_000
MIDNIGHT_S = 1_795_046_400  # 2026-11-19T00:00:00Z


@dataclass(slots=True)
class Kept:
    """A series store, its clock, and what it said."""

    directory: Path
    clock: SimulatedClock = field(default_factory=lambda: SimulatedClock(offset_to_wall_ns=MIDNIGHT_S * S))
    said: list[str] = field(default_factory=list)
    series: Series = field(init=False)

    def __post_init__(self) -> None:
        self.series = Series(self.directory, self.clock, self.said.append)

    def reopen(self) -> None:
        self.series.close()
        self.series = Series(self.directory, self.clock, self.said.append)

    def at(self, second: int, **figures: float) -> None:
        self.clock.now_boot_ns = second * S
        self.series.append(figures)

    def means(self, name: str, from_s: int, to_s: int, step_s: int = 0) -> list[float | None]:
        excerpt = self.series.read((name,), MIDNIGHT_S + from_s, MIDNIGHT_S + to_s, step_s)
        return [None if point is None else point.mean for point in excerpt.series.get(name, [])]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_series_answer_what_was_appended_also_after_a_restart(kept: Kept) -> None:
    """A second that was written is read back as it was; one without a value is a gap."""
    for second in (0, 1, 3):
        kept.at(second, load=second * 1.5)
    kept.reopen()

    assert kept.means("load", 0, 4) == [0.0, 1.5, None, 4.5]
    assert kept.means("never_seen", 0, 4) == []


def test_series_roll_seconds_up_to_minutes_and_hours(kept: Kept) -> None:
    """A coarser step tells the least, the mean and the greatest of what happened in it, also where values are missing."""
    for second in range(2 * 3600):
        kept.at(second, ramp=float(second), **({"half": 1.0} if second % 2 else {}))
    kept.series.flush()

    by_minute = kept.series.read(("ramp", "half"), MIDNIGHT_S, MIDNIGHT_S + 7200, 60)
    by_hour = kept.series.read(("ramp", "half"), MIDNIGHT_S, MIDNIGHT_S + 7200, 3600)

    assert by_minute.series["ramp"][1] == (60.0, 89.5, 119.0, 60)
    assert by_hour.series["ramp"] == [(0.0, 1799.5, 3599.0, 3600), (3600.0, 5399.5, 7199.0, 3600)]
    assert by_hour.series["half"] == [(1.0, 1.0, 1.0, 1800)] * 2


def test_series_show_the_step_that_is_not_over_yet(kept: Kept) -> None:
    """Nobody waits an hour for the hour that runs."""
    for second in range(100):
        kept.at(second, load=2.0)

    assert kept.means("load", 0, 3600, 3600) == [2.0]


def test_series_forget_by_number_of_rows_and_not_by_age(kept: Kept) -> None:
    """A clock that jumps ten years ahead and back costs no history, and what it left in the future is removed."""
    for second in range(3000):
        kept.at(second, load=1.0)
    kept.clock.offset_to_wall_ns += 10 * 365 * 86_400 * S
    for second in range(3000, 3700):  # long enough for the bounds to be looked at
        kept.at(second, load=7.0)
    kept.clock.offset_to_wall_ns -= 10 * 365 * 86_400 * S
    for second in range(3700, 4400):
        kept.at(second, load=1.0)

    assert kept.means("load", 0, 3600, 3600) == [1.0]
    with sqlite3.connect(kept.directory / SERIES_FILE_NAME) as connection:
        newest = [connection.execute(f"SELECT max(time_s) FROM {tier.table}").fetchone()[0] for tier in (SECONDS, MINUTES, HOURS)]  # noqa: S608 # constants
    assert all(time_s <= MIDNIGHT_S + 4400 for time_s in newest)
    assert kept.said == []


def test_series_never_take_more_disk_than_stated(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many figures as there may be, for longer than the bounds: the file stays below them."""
    monkeypatch.setattr("brainkernel.store.series.TIERS", small := (SECONDS._replace(keep=120), MINUTES._replace(keep=30), HOURS))
    names = [f"figure_{number}" for number in range(NAMES_MAX + 20)]

    for second in range(3000):
        kept.at(second, **dict.fromkeys(names, float(second)))
    kept.series.close()

    with sqlite3.connect(kept.directory / SERIES_FILE_NAME) as connection:
        rows = {tier.table: connection.execute(f"SELECT count(*) FROM {tier.table}").fetchone()[0] for tier in small}  # noqa: S608 # constants
        (most,) = connection.execute("SELECT max(length(figures)) FROM minutes").fetchone()
    assert rows["seconds"] <= 120 + 610  # the bounds are looked at every ten minutes
    assert rows["minutes"] <= 30 + 11
    page = 4096
    assert most + 64 < page  # one page a row: all rows that are kept fit into the stated size
    assert (MINUTES.keep + HOURS.keep + SECONDS.keep // 5) * page < MAX_BYTES


def test_series_keep_what_can_be_kept_of_a_value_that_is_no_number(kept: Kept) -> None:
    """NaN and infinity are gaps, and so is what no 32-bit float holds."""
    kept.at(0, bad=math.nan, worse=math.inf, huge=1e300, good=1.0)
    kept.at(1, bad=1.0, worse=1.0, huge=1.0, good=1.0)

    assert kept.means("bad", 0, 2) == [None, 1.0]
    assert kept.means("worse", 0, 2) == [None, 1.0]
    assert kept.means("huge", 0, 2) == [None, 1.0]
    assert kept.means("good", 0, 2) == [1.0, 1.0]


def test_damaged_series_begin_anew_and_touch_no_other_file(tmp_path: Path) -> None:
    """Said in one sentence; the state database beside it is as it was."""
    (tmp_path / "state.db").write_bytes(b"not ours")
    (tmp_path / SERIES_FILE_NAME).write_bytes(b"garbage" * 1000)

    kept = Kept(tmp_path)
    kept.at(0, load=1.0)

    assert kept.means("load", 0, 1) == [1.0]
    assert len(kept.said) == 1
    assert "figures over time begin anew" in kept.said[0]
    assert (tmp_path / "state.db").read_bytes() == b"not ours"


@pytest.mark.parametrize("offset", [0, 100, 4096, 8192, 12_288, 16_500])
def test_series_survive_damage_while_they_are_open(kept: Kept, offset: int) -> None:
    """Whatever page a bad disk wrote over, there is an answer and the next second is kept."""
    for second in range(700):
        kept.at(second, load=1.0, other=2.0)
    kept.reopen()
    with (kept.directory / SERIES_FILE_NAME).open("r+b") as file:
        file.seek(offset)
        file.write(os.urandom(4000))

    kept.reopen()
    for second in range(700, 740):
        kept.at(second, load=3.0)

    assert kept.means("load", 739, 740) == [3.0]


def test_series_wait_for_a_full_disk_and_lose_minutes_at_most(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written is shown all the same, bounded, said once, and written when there is room again."""
    kept.at(0, load=1.0)
    kept.series.close()
    monkeypatch.setattr("brainkernel.store.series.MAX_BYTES", 4096 * 6)  # SQLite itself then says that the disk is full
    kept.reopen()
    for second in range(1, 400):
        kept.at(second, **{f"figure_{n}": 1.0 for n in range(120)}, load=2.0)

    during = kept.series.usable, kept.means("load", 398, 400), len(kept.series._pending)
    monkeypatch.undo()
    for second in range(400, 480):
        kept.at(second, load=3.0)
    kept.series.flush()

    assert during == (False, [2.0, 2.0], PENDING_MAX)
    assert [text for text in kept.said if "cannot be used" in text] == kept.said
    assert len(kept.said) == 1
    assert kept.series.usable
    assert kept.means("load", 398, 402) == [2.0, 2.0, 3.0, 3.0]


def test_series_work_where_the_directory_cannot_be_written(tmp_path: Path) -> None:
    """No disk at all: the last minutes are shown."""
    kept = Kept(tmp_path / "missing")
    for second in range(10):
        kept.at(second, load=float(second))

    assert kept.means("load", 8, 10) == [8.0, 9.0]
    assert len(kept.said) == 1


def test_series_bound_every_answer(kept: Kept) -> None:
    """Whoever asks for everything at once gets a page that fits a message, read off a bounded number of cells."""
    names = [f"figure_{number}" for number in range(32)]
    for second in range(4000):
        kept.at(second, **dict.fromkeys(names, 1.0))

    excerpt = kept.series.read(names, 0, MIDNIGHT_S * 2, 1)

    assert sum(map(len, excerpt.series.values())) <= POINTS_MAX + len(names)
    assert len(names) * (4000 // 60) < CELLS_MAX
    assert excerpt.series["figure_0"][-1] is not None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.dictionaries(st.integers(0, 7000), st.floats(-1e6, 1e6), min_size=1, max_size=60),
    span=st.tuples(st.integers(0, 7200), st.integers(1, 7200)),
    step_s=st.sampled_from([0, 1, 7, 60, 61, 600, 3600]),
)
def test_series_answer_on_one_grid_that_covers_what_was_asked(
    tmp_path_factory: pytest.TempPathFactory, values: dict[int, float], span: tuple[int, int], step_s: int
) -> None:
    """Whatever is asked: no value outside of what was kept, in steps no shorter than asked, none of the asked time left out."""
    kept = Kept(tmp_path_factory.mktemp("series"))
    for second, value in sorted(values.items()):
        kept.at(second, figure=value)
    kept.clock.now_boot_ns = 7201 * S

    from_s, to_s = span[0], span[0] + span[1]
    excerpt = kept.series.read(("figure",), MIDNIGHT_S + from_s, MIDNIGHT_S + to_s, step_s)
    kept.series.close()

    points = excerpt.series["figure"]
    assert excerpt.step_s >= max(1, step_s)
    assert excerpt.start_s <= MIDNIGHT_S + min(from_s, 7201)
    assert excerpt.start_s + len(points) * excerpt.step_s >= MIDNIGHT_S + min(to_s, 7202)
    low, high = min(values.values()), max(values.values())
    slack = 1e-5 * max(1.0, abs(low), abs(high))
    assert all(low - slack <= p.low <= p.mean + slack <= p.high + 2 * slack <= high + 3 * slack for p in points if p is not None)
    inside = [v for s, v in values.items() if excerpt.start_s - MIDNIGHT_S <= s < min(to_s, 7202)]
    assert any(p is not None for p in points) == bool(inside) or step_s >= 60 or excerpt.step_s >= 60
