"""The watch over those who run: from harm seen to a limit asked for, stepped up, measured and learned from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from brainkernel.config import Config, Symptoms
from brainkernel.learn.experience import Experience
from brainkernel.model import Action, DecisionKind, Limit, ProcessKey, ReasonCode, Route
from msgspec import structs
from support.nouns import SECOND_NS, a_task
from support.watched import HOG_KEY, LADDER, VICTIM, Host, a_watch

if TYPE_CHECKING:
    from brainkernel.watch import Watch


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def experience() -> Experience:
    return Experience()


@pytest.fixture
def watch(host: Host, experience: Experience) -> Watch:
    return a_watch(host, experience, exe_of=lambda key: "/opt/batch/hog" if key == HOG_KEY else "/usr/sbin/mysqld")


def the_action(host: Host, **changes: object) -> Action:
    plain = Action(
        id=1, target=HOG_KEY, comm="hog", route=Route.UNIT, unit="hog.service", cgroup="/system.slice/hog.service", cgroup_id=7,
        limit=Limit(cpu_weight=20), changes=(), started_ns=host.clock.boot_ns(), expires_ns=host.clock.boot_ns() + 60 * SECOND_NS,
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_watch_decides_within_three_seconds_of_harm(host: Host, watch: Watch) -> None:
    """The window of two seconds is over, and the hog has its decision, with the victim named."""
    host.pass_seconds(watch, 3, hurting=True)

    assert [d.suspect.key for d in host.decided] == [HOG_KEY]
    assert host.decided[0].symptom is not None
    assert host.decided[0].symptom.victims[0].comm == "mysqld"


def test_watch_follows_a_window_that_became_longer(host: Host, watch: Watch) -> None:
    """A reload, or a rollback, to `symptoms.window_s = 8` judges over eight seconds from then on."""
    host.pass_seconds(watch, 20, hurting=False)
    watch.config = Config(symptoms=Symptoms(window_s=8.0))

    host.pass_seconds(watch, 12, hurting=True)

    assert [d.suspect.key for d in host.decided] == [HOG_KEY]


def test_watch_leaves_a_busy_host_alone_on_which_nobody_waits(host: Host, watch: Watch) -> None:
    """CPU use alone is no harm."""
    host.pass_seconds(watch, 30, hurting=False)

    assert host.decided == []


def test_watch_notices_a_program_that_is_unlike_itself_and_hurts_nobody(host: Host, watch: Watch) -> None:
    """A minute at a fifth of a CPU, then a whole one: a suspect, once, though nobody waits; nothing is limited for it."""
    host.pass_seconds(watch, 60, hurting=False)
    assert host.noticed == []

    for _ in range(20):
        host.hog_cpu_s += 0.8
        host.pass_seconds(watch, 1, hurting=False)

    assert [(s.key, [r.code for r in s.reasons]) for s in host.noticed] == [(HOG_KEY, [ReasonCode.CPU_SHARE])]
    assert host.decided == []


def test_watch_decides_about_one_that_is_unlike_itself_and_hurts(host: Host, watch: Watch) -> None:
    """It is the harm that is decided about: one decision, not two."""
    host.pass_seconds(watch, 60, hurting=False)

    host.pass_seconds(watch, 4, hurting=True)

    assert [d.suspect.key for d in host.decided] == [HOG_KEY]
    assert [r.code for r in host.decided[0].suspect.reasons] == [ReasonCode.CPU_SHARE, ReasonCode.RUN_DELAY]
    assert host.noticed == []


def test_watch_notices_a_fork_storm(host: Host, watch: Watch) -> None:
    """Processes of one name that are made by the hundreds and stay: the oldest of them is the suspect."""
    host.pass_seconds(watch, 10, hurting=False)
    for second in range(5):
        born_ns = host.clock.boot_ns()
        forked = (a_task(1000 + 300 * second + n, "forker", cgroup_id=9) for n in range(300))
        host.others += [structs.replace(task, key=ProcessKey(task.key.tgid, born_ns)) for task in forked]
        host.pass_seconds(watch, 1, hurting=False)

    assert [(s.key.tgid, [r.code for r in s.reasons]) for s in host.noticed] == [(1000, [ReasonCode.FORK_STORM])]


def test_watch_samples_a_host_without_pressure_only_now_and_then(host: Host, watch: Watch) -> None:
    """PSI says that nobody waits: one tick in five is enough for the habits."""
    host.pressed = False

    host.pass_seconds(watch, 20, hurting=False)

    assert host.snapshots == 4


def test_watch_asks_once_while_a_limit_is_under_way(host: Host, watch: Watch) -> None:
    """A slow systemd may take seconds; the same decision is not made at each tick meanwhile."""
    host.pass_seconds(watch, 8, hurting=True)

    assert len(host.decided) == 1
    assert watch.limits_pending == 1


def test_watch_steps_up_while_the_limit_does_not_help(host: Host, watch: Watch) -> None:
    """A weight that changes nothing becomes a quota after its time, and only once."""
    host.pass_seconds(watch, 3, hurting=True)
    watch.applied(the_action(host))

    host.pass_seconds(watch, 4, hurting=True)

    assert host.steps == [(1, LADDER[1])]


def step_done(host: Host, watch: Watch, step: int) -> None:
    watch.applied(the_action(host, limit=LADDER[step]))


def test_watch_goes_on_from_the_step_at_which_a_limit_began(host: Host, watch: Watch) -> None:
    """In strong pain, or where a weight reaches nobody, that is not the first."""
    host.pass_seconds(watch, 3, hurting=True)
    watch.applied(the_action(host, limit=LADDER[1], step=1))

    host.pass_seconds(watch, 4, hurting=True)

    assert host.steps == [(1, LADDER[2])]


def test_a_step_without_effect_is_followed_by_the_next_after_one_window(host: Host, watch: Watch) -> None:
    """The window that judges it begins at the moment at which it stands, not at the tick after."""
    host.pass_seconds(watch, 3, hurting=True)
    host.clock.advance_to(host.clock.boot_ns() + SECOND_NS // 2)
    watch.applied(the_action(host))

    host.pass_seconds(watch, 2, hurting=True)

    assert host.steps == [(1, LADDER[1])]


def test_watch_gives_up_a_limit_whose_strongest_step_helps_nobody(host: Host, watch: Watch) -> None:
    """Weight, idle and quota changed nothing: the limit ends rather than standing to its lease's end."""
    host.pass_seconds(watch, 3, hurting=True)
    for step in range(3):
        step_done(host, watch, step)
        host.pass_seconds(watch, 4, hurting=True)

    assert [limit for _, limit in host.steps] == [LADDER[1], LADDER[2]]
    assert host.released[0] == (1, "its strongest step helped nobody")
    assert [outcome.helped for outcome in host.outcomes] == [False, False, False]


def test_watch_steps_down_again_before_a_lease_ends_in_peace(host: Host, watch: Watch) -> None:
    """From idle back to the weight; the last step ends with its lease, by itself."""
    host.pass_seconds(watch, 3, hurting=True)
    step_done(host, watch, 0)
    host.pass_seconds(watch, 4, hurting=True)
    step_done(host, watch, 1)

    host.pass_seconds(watch, 58, hurting=False)
    assert host.steps[1:] == [(1, LADDER[0])]
    step_done(host, watch, 0)
    host.pass_seconds(watch, 120, hurting=False)

    assert len(host.steps) == 2
    assert host.renewed == []


def test_watch_renews_a_limit_that_helps_while_there_is_no_peace(host: Host, watch: Watch) -> None:
    """The victim waits less than before and still more than it should."""
    host.pass_seconds(watch, 3, hurting=True)
    for step in range(2):
        step_done(host, watch, step)
        host.pass_seconds(watch, 4, hurting=True)
    step_done(host, watch, 2)
    host.pass_seconds(watch, 6, hurting=False)

    host.pass_seconds(watch, 56, hurting=True)

    assert host.renewed
    assert host.released == []


def test_watch_passes_over_a_step_that_is_not_to_be_had(host: Host, watch: Watch) -> None:
    """An old systemd has no idle: from the weight to the quota."""
    host.pass_seconds(watch, 3, hurting=True)
    step_done(host, watch, 0)
    host.pass_seconds(watch, 4, hurting=True)
    watch.refused(1, old_step_stands=True)

    host.pass_seconds(watch, 1, hurting=True)

    assert [limit for _, limit in host.steps] == [LADDER[1], LADDER[2]]


def test_watch_does_not_pity_who_is_limited(host: Host, watch: Watch) -> None:
    """What a limit on its single tasks makes wait is no victim of others, for whom theirs would be made stronger."""
    host.pass_seconds(watch, 3, hurting=True)
    watch.applied(the_action(host, route=Route.TASK, target=ProcessKey(VICTIM, VICTIM * SECOND_NS), moved=()))

    host.pass_seconds(watch, 6, hurting=True)

    assert host.steps == []
    assert len(host.decided) == 1


def test_watch_tells_how_long_a_quota_held_its_target_back(host: Host, watch: Watch) -> None:
    """From the cgroup's own count, over the time of this step."""
    host.pass_seconds(watch, 3, hurting=True)
    host.throttled_us = 1_000_000
    watch.applied(the_action(host))
    host.throttled_us = 2_000_000

    host.pass_seconds(watch, 2, hurting=False)

    assert host.outcomes[0].throttled_pct == pytest.approx(50)
    assert "was held back 50 % of the time" in host.outcomes[0].text


def test_watch_takes_nobody_below_a_limited_cgroup_for_a_victim(host: Host, watch: Watch) -> None:
    """Whoever waits there waits for the quota, so that the harm would go on as long as the limit does."""
    host.pass_seconds(watch, 3, hurting=True)
    host.below["/system.slice/hog.service"] = {7, 8}  # the victim's
    watch.applied(the_action(host))

    host.pass_seconds(watch, 8, hurting=True)

    assert host.steps == []


def test_watch_keeps_a_limit_that_helps_and_measures_it(host: Host, watch: Watch) -> None:
    """The victim waits no more: the outcome says so, and nothing is stepped."""
    host.pass_seconds(watch, 3, hurting=True)
    watch.applied(the_action(host))

    host.pass_seconds(watch, 10, hurting=False)

    assert host.steps == []
    assert [o.helped for o in host.outcomes] == [True]
    assert host.outcomes[0].text.startswith("mysqld waited 100 % less")
    assert [lesson.helped for lesson in host.lessons] == [True]


def test_watch_gives_a_longer_lease_to_a_need_that_comes_back(host: Host, watch: Watch, experience: Experience) -> None:
    """A limit that ended by its lease and is needed again at once may stand twice as long."""
    host.pass_seconds(watch, 3, hurting=True)
    action = the_action(host)
    watch.applied(action)
    suspect = host.decided[0].suspect
    first_ns = watch.lease_ns_for(suspect)

    host.pass_seconds(watch, 61, hurting=False)
    watch.released(action)

    assert watch.lease_ns_for(suspect) == 2 * first_ns
    assert watch.actions == []


def test_watch_judges_a_hog_again_after_its_limit_ended(host: Host, watch: Watch) -> None:
    """Released and hurting again, it gets a new decision."""
    host.pass_seconds(watch, 3, hurting=True)
    action = the_action(host)
    watch.applied(action)
    host.pass_seconds(watch, 61, hurting=False)
    watch.released(action)

    host.pass_seconds(watch, 3, hurting=True)

    assert len(host.decided) == 2


def test_watch_does_not_repeat_a_refusal_at_each_tick(host: Host, watch: Watch) -> None:
    """A protected program that uses much CPU is one decision in the debounce time, not one a second."""
    host.acts, host.kind = False, DecisionKind.REFUSED

    host.pass_seconds(watch, 20, hurting=True)

    assert len(host.decided) == 1


def test_watch_forgets_a_limit_that_act_could_not_set(host: Host, watch: Watch) -> None:
    """It counts neither as pending nor as standing, and its decision is handed back to be told of."""
    host.pass_seconds(watch, 3, hurting=True)

    decision = watch.refused(1)

    assert decision is host.decided[0]
    assert watch.limits_pending == 0
