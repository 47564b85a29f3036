from __future__ import annotations

from brainkernel.sense.suppression import SuppressionNotices
from hypothesis import given
from hypothesis import strategies as st

STEPS = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 50), st.booleans()), max_size=30)


@given(STEPS)
def test_notices_sum_up_to_what_the_kernel_counted(steps: list[tuple[int, int, bool]]) -> None:
    """Each suppressed record is told once, also when the bucket that counted it was evicted."""
    notices = SuppressionNotices()
    buckets: dict[int, int] = {}
    total = told = 0

    for cgroup_id, count, evict in steps:
        buckets[cgroup_id] = buckets.get(cgroup_id, 0) + count
        total += count
        if evict:
            del buckets[cgroup_id]
        told += sum(c for _, c in notices.since_last(total, buckets))

    assert told == total


def test_notices_name_the_cgroup() -> None:
    """Whoever floods is told apart from who does not."""
    notices = SuppressionNotices()

    assert notices.since_last(5, {7: 3, 8: 2}) == [(7, 3), (8, 2)]
    assert notices.since_last(6, {7: 4, 8: 2}) == [(7, 1)]
    assert notices.since_last(6, {7: 4, 8: 2}) == []


def test_notices_give_the_count_of_an_evicted_bucket_to_nobody() -> None:
    """Its cgroup is not known any more: 0."""
    notices = SuppressionNotices()

    assert notices.since_last(5, {}) == [(0, 5)]
