from __future__ import annotations

from brainkernel.sense.tasksnapshot import TaskSnapshots
from support.wirebytes import a_task_record


def test_samples_add_up_the_threads_of_a_process() -> None:
    """CPU time and run delay are those of all threads, memory is counted once."""
    raw = (
        a_task_record(tgid=100, cpu_ns=5, delay_ns=1, pages=10)
        + a_task_record(tgid=100, pid=101, cpu_ns=7, delay_ns=2, pages=10)
        + a_task_record(tgid=100, pid=102, cpu_ns=9, delay_ns=3, pages=10)
        + a_task_record(tgid=200, cpu_ns=1)
    )

    one, other = TaskSnapshots(4096).samples_of(raw)

    assert (one.key.tgid, one.cpu_ns, one.run_delay_ns, one.rss_bytes) == (100, 21, 6, 40960)
    assert (other.key.tgid, other.cpu_ns, other.comm, other.uid) == (200, 1, "worker", 1000)


def test_samples_count_a_thread_that_was_listed_before_its_leader() -> None:
    """The kernel lists by pid, and pids wrap around."""
    raw = a_task_record(tgid=300, pid=2, cpu_ns=7) + a_task_record(tgid=300, cpu_ns=5)

    (sample,) = TaskSnapshots(4096).samples_of(raw)

    assert sample.cpu_ns == 12


def test_samples_take_the_memory_of_a_process_whose_leader_has_left() -> None:
    """The leader's own memory map is gone then, its threads' is not."""
    raw = a_task_record(tgid=100, pages=0) + a_task_record(tgid=100, pid=101, pages=3)

    (sample,) = TaskSnapshots(4096).samples_of(raw)

    assert sample.rss_bytes == 3 * 4096


def test_samples_leave_out_threads_without_a_leader() -> None:
    """A process that ended during the read has no record of its own any more."""
    assert TaskSnapshots(4096).samples_of(a_task_record(tgid=100, pid=101)) == []


def test_samples_of_the_next_snapshot_reuse_the_keys() -> None:
    """A process that lives on costs no new key each second; one that ended is forgotten."""
    snapshots = TaskSnapshots(4096)
    first = snapshots.samples_of(a_task_record(tgid=100) + a_task_record(tgid=200))

    second = snapshots.samples_of(a_task_record(tgid=100))

    assert second[0].key is first[0].key
    assert len(snapshots._keys) == 1
