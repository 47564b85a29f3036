"""The process tree over forks, execs, exits and reused pids."""

from __future__ import annotations

from brainkernel.enrich.table import ProcessTable
from brainkernel.model import Exec, Exit, Fork, ProcessKey
from hypothesis import given
from hypothesis import strategies as st

INIT = ProcessKey(1, 0)
SHELL = ProcessKey(10, 100)
DAEMON = ProcessKey(11, 200)
WORKER = ProcessKey(12, 300)


def _table() -> ProcessTable:
    table = ProcessTable()
    table.add(INIT, "/usr/lib/systemd/systemd", None)
    table.add(SHELL, "/usr/bin/bash", INIT)
    return table


def test_process_table_names_ancestors_nearest_first() -> None:
    """A chain of forks and execs reads from the parent up to init."""
    table = _table()

    table.on_fork(Fork(time_ns=1, key=DAEMON, parent=SHELL))
    table.on_exec(Exec(time_ns=2, key=DAEMON, parent=SHELL, exe="/usr/sbin/d"))
    table.on_fork(Fork(time_ns=3, key=WORKER, parent=DAEMON))

    assert [a.exe for a in table.ancestors(WORKER)] == ["/usr/sbin/d", "/usr/bin/bash", "/usr/lib/systemd/systemd"]


def test_process_table_gives_a_forked_child_its_parents_program() -> None:
    """Until it execs, a child runs what its parent runs."""
    table = _table()

    table.on_fork(Fork(time_ns=1, key=DAEMON, parent=SHELL))

    known = table.get(DAEMON)
    assert known is not None
    assert known.exe == "/usr/bin/bash"


def test_process_table_remembers_the_dead_while_somebody_descends_from_them() -> None:
    """A double fork does not hide who started a daemon, and the memory ends with the daemon."""
    table = _table()
    table.on_fork(Fork(time_ns=1, key=DAEMON, parent=SHELL))
    table.on_fork(Fork(time_ns=2, key=WORKER, parent=DAEMON))

    table.on_exit(Exit(time_ns=3, key=DAEMON))

    assert table.ancestors(WORKER)[0].key == DAEMON
    assert table.descendants(SHELL) == (WORKER,)

    table.on_exit(Exit(time_ns=4, key=WORKER))

    assert table.get(DAEMON) is None
    assert len(table) == 2


def test_process_table_takes_a_second_exit_as_nothing() -> None:
    """The kernel may send an exit twice."""
    table = _table()
    table.on_exit(Exit(time_ns=3, key=SHELL))
    table.on_exit(Exit(time_ns=3, key=SHELL))

    assert table.get(SHELL) is None


def test_process_table_takes_an_exec_that_overtakes_its_fork() -> None:
    """Two CPUs' records may come in the wrong order; the exec's word stays."""
    table = _table()

    table.on_exec(Exec(time_ns=2, key=DAEMON, parent=SHELL, exe="/usr/sbin/d"))
    table.on_fork(Fork(time_ns=1, key=DAEMON, parent=SHELL))

    known = table.get(DAEMON)
    assert known is not None
    assert known.exe == "/usr/sbin/d"


def test_process_table_tells_a_reused_pid_from_its_predecessor() -> None:
    """The same pid with another start time is somebody else, and the first one is dead."""
    table = _table()
    again = ProcessKey(SHELL.tgid, 900)

    table.add(again, "/usr/bin/vim", INIT)

    assert table.key_of(SHELL.tgid) == again
    assert table.get(SHELL) is None


def test_process_table_keeps_the_parent_that_made_a_process() -> None:
    """Adoption by init does not rewrite history."""
    table = _table()
    table.on_fork(Fork(time_ns=1, key=DAEMON, parent=SHELL))

    table.on_exec(Exec(time_ns=2, key=DAEMON, parent=INIT, exe="/usr/sbin/d"))

    assert table.ancestors(DAEMON)[0].key == SHELL


def test_process_table_drops_whoever_a_snapshot_does_not_show() -> None:
    """Lost exits do not pile up."""
    table = _table()
    table.on_fork(Fork(time_ns=1, key=DAEMON, parent=SHELL))

    table.keep_only([INIT, SHELL])

    assert table.get(DAEMON) is None
    assert table.get(SHELL) is not None


_KEYS = st.builds(ProcessKey, st.integers(1, 6), st.integers(0, 3))
_EVENTS = st.one_of(
    st.builds(Fork, time_ns=st.just(0), key=_KEYS, parent=_KEYS),
    st.builds(Exec, time_ns=st.just(0), key=_KEYS, parent=st.none() | _KEYS, exe=st.sampled_from(["/a", "/b"])),
    st.builds(Exit, time_ns=st.just(0), key=_KEYS),
)


@given(st.lists(_EVENTS, max_size=60))
def test_process_table_stays_a_bounded_forest_whatever_comes(events: list[Fork | Exec | Exit]) -> None:
    """No order of events makes a circle, a leak or a living descendant that is dead."""
    table = ProcessTable(entries_max=8)

    for event in events:
        match event:
            case Fork():
                table.on_fork(event)
            case Exec():
                table.on_exec(event)
            case Exit():
                table.on_exit(event)

    assert len(table) <= 8
    for tgid in range(1, 7):
        key = table.key_of(tgid)
        if key is not None:
            above = [a.key for a in table.ancestors(key)]
            assert key not in above
            assert len(set(above)) == len(above)
            assert all(key in table.descendants(a) for a in above)
