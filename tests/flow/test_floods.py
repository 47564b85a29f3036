from __future__ import annotations

from brainkernel.clock import SimulatedClock
from brainkernel.floods import Floods
from brainkernel.model import Suppressed
from support.nouns import SECOND_NS


def held_back(cgroup_id: int, count: int) -> Suppressed:
    return Suppressed(time_ns=1, cgroup_id=cgroup_id, count=count)


def test_flood_is_told_at_once_and_then_each_minute() -> None:
    """A person hears of it when it begins and how large it was, not four times a second."""
    clock, said = SimulatedClock(100 * SECOND_NS), list[str]()
    floods = Floods(notice=said.append, path_of={7: "/system.slice/builder.service", 8: "", 9: "/a", 10: "/b"}.__getitem__, clock=clock)

    floods.tick()
    for _ in range(4 * 90):
        floods.add(held_back(7, 10))
        floods.tick()
        clock.advance_to(clock.boot_ns() + SECOND_NS // 4)
    clock.advance_to(clock.boot_ns() + 60 * SECOND_NS)
    floods.tick()
    floods.tick()

    where = "flood control: program starts that nobody looked at:"
    assert said == [f"{where} {count} in /system.slice/builder.service" for count in (10, 2400, 1190)]


def test_flood_of_many_cgroups_names_the_worst() -> None:
    """One line, whatever the number of cgroups; the sum is all of it."""
    said = list[str]()
    floods = Floods(notice=said.append, path_of={7: "/x", 8: "", 9: "/y"}.get, clock=SimulatedClock(SECOND_NS))  # type: ignore[arg-type]

    for cgroup_id, count in ((7, 1), (8, 50), (9, 20), (10, 2), (11, 1), (7, 30)):
        floods.add(held_back(cgroup_id, count))
    floods.tick()

    assert said == ["flood control: program starts that nobody looked at: 50 in cgroup 8, 31 in /x, 20 in /y, 3 in others"]


def test_end_of_the_agent_tells_the_rest_of_a_flood() -> None:
    """What was held back since the last line is said at the end, also what the loader has counted and not yet told."""
    said = list[str]()
    floods = Floods(notice=said.append, path_of={7: "/x", 0: ""}.__getitem__, clock=SimulatedClock(SECOND_NS))
    floods.add(held_back(7, 10))
    floods.tick()
    floods.add(held_back(7, 5))
    floods.tick()

    floods.close(18)

    where = "flood control: program starts that nobody looked at:"
    assert said == [f"{where} 10 in /x", f"{where} 5 in /x, 3 in cgroup 0"]


def test_end_without_a_flood_says_nothing() -> None:
    """Nobody reads that nothing happened."""
    said = list[str]()

    Floods(notice=said.append, path_of={7: "/x"}.__getitem__, clock=SimulatedClock(SECOND_NS)).close(0)

    assert said == []
