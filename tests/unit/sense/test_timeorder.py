from __future__ import annotations

from brainkernel.sense.timeorder import TimeOrder
from hypothesis import given
from hypothesis import strategies as st


def a_record(time_ns: int) -> bytes:
    return time_ns.to_bytes(8, "little") + b"rest"


def test_record_that_was_found_late_comes_in_its_place() -> None:
    """The exec's ring was read after the fork's, and both came in between: the fork is the first all the same."""
    order, fork, exec_ = TimeOrder(), a_record(101), a_record(102)

    order.add(exec_)
    too_new = order.take(100, 10)
    order.add(fork)

    assert too_new == []
    assert order.take(200, 10) == [fork, exec_]


@given(st.lists(st.lists(st.integers(0, 1000)).map(sorted), max_size=4), st.integers(1, 7))
def test_records_of_all_rings_come_in_order_and_none_is_lost(rings: list[list[int]], limit: int) -> None:
    """Whatever came at which CPU, a few at a time."""
    order = TimeOrder()
    for ring in rings:
        for time_ns in ring:
            order.add(a_record(time_ns))

    taken: list[bytes] = []
    while len(order):
        some = order.take(1000, limit)
        assert 0 < len(some) <= limit
        taken += some

    assert taken == [a_record(time_ns) for time_ns in sorted(time_ns for ring in rings for time_ns in ring)]
