"""Windows: counters become rates, and harm is told from mere use."""

from brainkernel.config import Symptoms
from brainkernel.model import ProcessKey, TaskSample
from brainkernel.observe.symptom import culprits_of
from brainkernel.observe.window import History, Snapshot, Window, families_of, window_of
from support.nouns import SECOND_NS, a_task

HOG, DATABASE, KTHREAD = 100, 200, 300


def a_snapshot(second: float, *tasks: TaskSample, pressure_s: float = 0.0) -> Snapshot:
    return Snapshot(
        time_ns=int(second * SECOND_NS), tasks={t.key: t for t in tasks}, pressure_total_us=int(pressure_s * 1e6), run_queue=(0,) * 4
    )


def a_hurting_window(
    *, hog_cgroup: int = 7, victim_cgroup: int = 8, hog_cpu_s: float = 2.0, wait_s: float = 1.0, pressure_s: float = 1.0
) -> Window:
    first = a_snapshot(1000, a_task(HOG, "hog", cgroup_id=hog_cgroup), a_task(DATABASE, "mysqld", cgroup_id=victim_cgroup))
    last = a_snapshot(
        1002,
        a_task(HOG, "hog", cpu_s=hog_cpu_s, cgroup_id=hog_cgroup),
        a_task(DATABASE, "mysqld", cpu_s=0.5, wait_s=wait_s, cgroup_id=victim_cgroup),
        pressure_s=pressure_s,
    )
    return window_of(first, last)


def test_window_turns_counters_into_shares_of_one_cpu() -> None:
    """Two CPU seconds in two seconds are 100 %, one second of waiting is 50 %."""
    window = a_hurting_window()

    assert window.uses[ProcessKey(HOG, HOG * SECOND_NS)].cpu_pct == 100.0
    assert window.uses[ProcessKey(DATABASE, DATABASE * SECOND_NS)].wait_pct == 50.0
    assert window.pressure_pct == 50.0


def test_window_counts_a_new_process_from_its_start_and_leaves_out_an_ended_one() -> None:
    """A hog that began within the window is seen; one that ended has nothing to be limited."""
    window = window_of(a_snapshot(0, a_task(1000, "gone")), a_snapshot(2, a_task(HOG, "hog", cpu_s=1.0)))

    assert [u.comm for u in window.uses.values()] == ["hog"]
    assert window.uses[ProcessKey(HOG, HOG * SECOND_NS)].cpu_pct == 50.0


MAKE, GCC, CC1 = 50, 51, 52


def test_what_ended_children_used_is_their_parents_when_it_is_charged() -> None:
    """Twenty compilers of a tenth of a second each, none of which is in two snapshots, are a whole CPU of make."""
    before, after = a_snapshot(0, a_task(MAKE, "make", reaped_s=7)), a_snapshot(2, a_task(MAKE, "make", reaped_s=9))

    window = window_of(before, after)
    (make,) = window.charged({ProcessKey(MAKE, MAKE * SECOND_NS)}).uses.values()

    assert [(use.cpu_pct, use.reaped_pct) for use in window.uses.values()] == [(0.0, 100.0)]
    assert make.cpu_pct == 100.0
    assert window.charged({make.key}).jobs[make.job] == [make]
    assert window.charged(set()).uses == window.uses


def test_what_a_child_used_before_the_window_is_not_its_parents_now() -> None:
    """A compiler of a minute ends: make has not used that minute within two seconds, and what gcc had reaped comes along."""
    before = a_snapshot(
        0, a_task(MAKE, "make"), a_task(GCC, "gcc", cpu_s=1, reaped_s=20, ppid=MAKE), a_task(CC1, "cc1", cpu_s=60, ppid=GCC)
    )
    after = a_snapshot(2, a_task(MAKE, "make", reaped_s=82))

    (make,) = window_of(before, after).uses.values()

    assert make.reaped_pct == 50.0


def test_an_orphans_time_is_never_negative() -> None:
    """Its parent ended first, so that another one waits for it."""
    before = a_snapshot(0, a_task(MAKE, "make"), a_task(CC1, "cc1", cpu_s=60, ppid=MAKE))

    (make,) = window_of(before, a_snapshot(2, a_task(MAKE, "make"))).uses.values()

    assert make.reaped_pct == 0.0


def test_window_leaves_out_kernel_threads() -> None:
    """A kernel thread is neither culprit nor victim."""
    window = window_of(a_snapshot(0), a_snapshot(2, a_task(KTHREAD, "kworker/0:1", cpu_s=2.0, ppid=2), a_task(2, "kthreadd", ppid=0)))

    assert window.uses == {}


def test_culprits_are_those_who_use_while_others_wait() -> None:
    """The hog is named, with whom it hurts and by how much; its victim is not."""
    (culprit,) = culprits_of(a_hurting_window(), Symptoms())

    assert culprit.worst.comm == "hog"
    assert [(v.comm, v.wait_pct) for v in culprit.symptom.victims] == [("mysqld", 50.0)]


def test_nobody_is_a_culprit_when_nobody_waits() -> None:
    """A program that takes a whole idle CPU hurts nobody."""
    assert culprits_of(a_hurting_window(wait_s=0.0), Symptoms()) == []


def test_nobody_is_a_culprit_without_pressure() -> None:
    """A victim alone is not enough: the host as a whole must be short of CPU."""
    assert culprits_of(a_hurting_window(pressure_s=0.0), Symptoms()) == []


def test_workers_of_one_job_are_no_victims_of_each_other() -> None:
    """Four workers on two CPUs wait for one another; that hurts nobody else."""
    workers = range(10, 14)
    first = a_snapshot(1000, *(a_task(w, "worker", cgroup_id=7) for w in workers))
    last = a_snapshot(1002, *(a_task(w, "worker", cpu_s=1.0, wait_s=1.0, cgroup_id=7) for w in workers), pressure_s=2.0)

    assert culprits_of(window_of(first, last), Symptoms()) == []


def test_waiting_in_a_cgroup_that_we_limit_is_no_symptom() -> None:
    """A quota makes its own target wait: counting that would keep every limit for ever."""
    window = a_hurting_window(victim_cgroup=8)
    limited = {use.key for use in window.uses.values() if use.cgroup_id == 8}

    assert culprits_of(window, Symptoms(), limited=limited) == []
    assert culprits_of(window, Symptoms()) != []


def test_a_job_under_a_limit_is_no_culprit() -> None:
    """It is tended already, whichever of its processes is the greediest."""
    window = a_hurting_window()
    (culprit,) = culprits_of(window, Symptoms())

    assert culprits_of(window, Symptoms(), limited={culprit.worst.key}) == []


def test_a_family_is_its_roots_and_all_below_them() -> None:
    """Children of children too; others of the same parent not, and two that name each other as parents end nothing."""
    tasks = [a_task(pid, "x", ppid=ppid) for pid, ppid in ((10, 1), (11, 10), (12, 11), (13, 1), (14, 15), (15, 14))]
    window = window_of(a_snapshot(1000, *tasks), a_snapshot(1002, *tasks))

    assert {key.tgid for key in families_of(window, {tasks[0].key, tasks[4].key})} == {10, 11, 12, 14, 15}


def test_history_gives_no_window_before_it_is_long_enough() -> None:
    """The first second of a run judges nobody."""
    history = History(10 * SECOND_NS)
    history.add(a_snapshot(0))
    history.add(a_snapshot(1))

    assert history.window(2 * SECOND_NS) is None

    history.add(a_snapshot(2))

    window = history.window(2 * SECOND_NS)
    assert window is not None
    assert window.length_ns == 2 * SECOND_NS


def test_history_keeps_only_what_its_longest_window_needs() -> None:
    """An hour of samples costs no more memory than a few seconds."""
    history = History(5 * SECOND_NS)

    for second in range(3600):
        history.add(a_snapshot(second))

    assert len(history._snapshots) <= 7
