"""What is likely to come next, learned from what came before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.classify.foresight import (
    AHEAD_S,
    DAY_S,
    FOLLOW_S,
    FOLLOWERS_MAX,
    HOUR_S,
    KEYS_MAX,
    PAIRS_MAX,
    Foresight,
    Habits,
)
from hypothesis import given
from hypothesis import strategies as st
from support.nouns import a_suspect

if TYPE_CHECKING:
    from brainkernel.model import Suspect

MIDNIGHT_S = 1_795_046_400  # of a day in UTC
CRON, SHELL = ("/usr/sbin/cron", "/usr/lib/systemd/systemd"), ("/bin/bash", "/usr/bin/xterm")


def suspect(exe: str, parents: tuple[str, ...] = CRON) -> Suspect:
    return a_suspect(exe, parents=parents)


def test_what_follows_in_a_lineage_is_likely_when_the_first_was_seen() -> None:
    """After three times of A and then B, A makes B likely; in another lineage it does not, and not once B came."""
    foresight = Foresight()
    for day in range(3):
        foresight.met(suspect("/opt/a"), None, 1, MIDNIGHT_S + day * 7919)
        foresight.met(suspect("/opt/b"), "key of b", 2, MIDNIGHT_S + day * 7919 + 60)
    later_s = MIDNIGHT_S + 5 * 7919

    before = foresight.likely(later_s)
    foresight.met(suspect("/opt/a", SHELL), None, 3, later_s)
    elsewhere = foresight.likely(later_s)
    foresight.met(suspect("/opt/a"), None, 4, later_s + 1)
    here = foresight.likely(later_s + 1)
    too_late = Foresight(foresight.habits).likely(later_s + FOLLOW_S + 2)
    foresight.met(suspect("/opt/b"), "key of b", 5, later_s + 30)

    assert before == elsewhere == too_late == {}
    assert here == {"key of b": (0.75, 2)}
    assert foresight.likely(later_s + 31) == {}


def test_what_comes_at_an_hour_is_likely_shortly_before() -> None:
    """Seen at three on most days: likely from a quarter to three on, not at noon; survives a restart."""
    foresight = Foresight()
    for day in (0, 1, 2, 4, 5):
        foresight.met(suspect("/opt/nightly"), "nightly", day, MIDNIGHT_S + day * DAY_S + 3 * HOUR_S + 60)
    foresight = Foresight(foresight.habits)
    day_s = MIDNIGHT_S + 6 * DAY_S

    assert foresight.likely(day_s + 12 * HOUR_S) == {}
    assert foresight.likely(day_s + 3 * HOUR_S - AHEAD_S - 1) == {}
    assert foresight.likely(day_s + 3 * HOUR_S - AHEAD_S) == {"nightly": (5 / 6, 5)}


def test_often_within_one_hour_of_one_day_is_no_habit() -> None:
    """A loop is not a schedule."""
    foresight = Foresight()
    for second in range(0, 3600, 10):
        foresight.met(suspect("/opt/loop"), "loop", 1, MIDNIGHT_S + second)

    assert foresight.likely(MIDNIGHT_S + 5 * DAY_S) == {}


def test_rare_followers_are_not_likely() -> None:
    """One in five is below what is worth a question."""
    foresight = Foresight()
    for number in range(50):
        foresight.met(suspect("/opt/a"), None, 1, MIDNIGHT_S + number * 5000)
        if number % 5 == 0:
            foresight.met(suspect("/opt/b"), "b", 2, MIDNIGHT_S + number * 5000 + 5)
    foresight.met(suspect("/opt/a"), None, 1, MIDNIGHT_S + 51 * 5000)

    assert "b" not in foresight.likely(MIDNIGHT_S + 51 * 5000)


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from(["", "k1", "k2", "k3"]), st.integers(-(10**6), 10**9), st.booleans()), max_size=200
    )
)
def test_foresight_is_bounded_and_never_surprised(meetings: list[tuple[int, str, int, bool]]) -> None:
    """Also by clocks that jump."""
    foresight = Foresight()
    for program, key, time_s, shell in meetings:
        foresight.met(suspect(f"/opt/{program}", SHELL if shell else CRON), key or None, 1, time_s)
        assert all(0 < probability <= 1 for probability, _id in foresight.likely(time_s).values())


def test_flood_of_programs_does_not_fill_the_memory() -> None:
    """Keys, pairs and followers have their bounds; the newest stay."""
    foresight = Foresight()
    for number in range(5000):
        foresight.met(suspect(f"/tmp/{number}"), f"key{number}", number, MIDNIGHT_S + number // 100)

    habits: Habits = foresight.habits
    assert len(habits.keys) == KEYS_MAX
    assert len(habits.sequences) == PAIRS_MAX
    assert max(len(sequence.followers) for sequence in habits.sequences.values()) <= FOLLOWERS_MAX
    assert "key4999" in habits.keys
