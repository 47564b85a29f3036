from __future__ import annotations

from brainkernel.sense.tokenbuckets import TokenBuckets
from hypothesis import given
from hypothesis import strategies as st

SECOND_NS = 1_000_000_000


@given(st.integers(1, 100), st.integers(1, 50), st.lists(st.tuples(st.integers(1, 3), st.integers(0, SECOND_NS)), max_size=200))
def test_bucket_gives_a_burst_and_then_its_rate(rate: int, burst: int, asked: list[tuple[int, int]]) -> None:
    """No cgroup ever gets more, whatever the others do, and whoever is refused is counted."""
    buckets = TokenBuckets(rate, burst)
    now_ns, admitted, refused = 10 * SECOND_NS, dict.fromkeys((1, 2, 3), 0), 0

    for cgroup_id, later_ns in asked:
        now_ns += later_ns
        if buckets.admits(cgroup_id, now_ns):
            admitted[cgroup_id] += 1
        else:
            refused += 1

    elapsed_s = (now_ns - 10 * SECOND_NS) / SECOND_NS
    assert all(count <= burst + elapsed_s * rate + 1 for count in admitted.values())
    assert sum(buckets.suppressed.values()) == refused


def test_bucket_of_one_cgroup_is_not_spent_by_another() -> None:
    """A flood blinds us to nobody else."""
    buckets = TokenBuckets(1, 5)
    flood = [buckets.admits(1, SECOND_NS) for _ in range(100)]

    assert flood == [True] * 5 + [False] * 95
    assert buckets.admits(2, SECOND_NS)
    assert buckets.suppressed == {1: 95}


def test_bucket_fills_again_with_time() -> None:
    """A second after the flood one more is taken."""
    buckets = TokenBuckets(1, 1)

    assert [buckets.admits(1, at * SECOND_NS) for at in (1, 1, 2)] == [True, False, True]


def test_no_limit_admits_all() -> None:
    """As with --all-events."""
    buckets = TokenBuckets(0, 0)

    assert all(buckets.admits(1, SECOND_NS) for _ in range(10_000))


def test_buckets_are_bounded() -> None:
    """Whoever makes cgroups without end takes no memory without end, and each of them is still held to its burst."""
    buckets = TokenBuckets(1, 1)
    for cgroup_id in range(10_000):
        assert buckets.admits(cgroup_id, SECOND_NS)
        assert not buckets.admits(cgroup_id, SECOND_NS)

    assert len(buckets.suppressed) <= 4097
