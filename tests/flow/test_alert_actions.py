"""What alerts do inside the agent, with the whole real agent over the simulated host of the feedback week: done, held, and undone."""

from __future__ import annotations

import contextlib
import select
import socket
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from benchmarks.feedback.agent import WALL_NS, Seen, WorldWhole, config_of
from benchmarks.feedback.host import HOG_CPU, World
from benchmarks.feedback.week import S, Week, key_of, start_of
from brainkernel import metrics
from brainkernel.alerting.engine import RESOLVE_NS
from brainkernel.clock import SimulatedClock
from brainkernel.composition import Paths
from brainkernel.composition.ground import Ground
from brainkernel.learn.latency import Breach
from brainkernel.link.frames import FrameBuffer, Peer, decode, frame_of
from brainkernel.link.messages import (
    GATEWAY_SOCKET,
    Alerts,
    AlertsTaken,
    Answers,
    Ask,
    FromDaemon,
    Hello,
    LocalModelOnly,
    ProposedVerdict,
    Usage,
)
from brainkernel.link.people import FeedbackArguments, StrategyArguments
from brainkernel.model import Category
from support.versions import LEARNED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from brainkernel.agent import Agent
    from brainkernel.model import ProcessKey

SHIPPED = Path(__file__).parents[2] / "packaging/alerts.yaml"
RESOLVE_S = RESOLVE_NS // S
PERSON = Peer(pid=1, uid=1000, gid=1000)
HURT = 'alert_rules:\n  - {{name: hurt, condition: "cpu_pressure > 80", severity: error, cooldown: {cooldown}, actions: [{actions}]}}\n'
LIMITED = 'alert_rules:\n  - {{name: seen, "on": limit_applied, severity: info, lasts: 60s, cooldown: {cooldown}, actions: [{actions}]}}\n'
LIKE = next(happening.start for happening in Week(1).happenings() if happening.job)


class Gateway:
    """The other end of the real socket: answers, confirms alerts, and keeps what it is told."""

    def __init__(self, path: Path, clock: SimulatedClock) -> None:
        self._clock = clock
        self._due: deque[tuple[int, Ask]] = deque()
        self._buffer = FrameBuffer()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._socket.setblocking(False)
        self._send(Hello("simulated", "known", "a test"))
        self.late_s = 0
        self.failing = False
        self.alerts: list[str] = []
        self.local_only: list[bool] = []

    def serve(self) -> None:
        kinds: Any = FromDaemon
        with contextlib.suppress(BlockingIOError):
            while select.select([self._socket], [], [], 0)[0]:
                for body in self._buffer.feed(self._socket.recv(1 << 16)):
                    self._take(decode(body, kinds))
        while self._due and self._due[0][0] <= self._clock.boot_ns():
            _, ask = self._due.popleft()
            verdicts = () if self.failing else tuple(ProposedVerdict(Category.BACKGROUND, 0.9, "by its name") for _ in ask.questions)
            self._send(Answers(ask.id, verdicts, "http_status" if self.failing else "", Usage("simulated", "known", self.late_s * S)))

    def close(self) -> None:
        self._socket.close()

    def _take(self, message: object) -> None:
        match message:
            case Ask():
                self._due.append((self._clock.boot_ns() + self.late_s * S, message))
            case Alerts():
                self.alerts += [f"{alert.rule} {alert.state}" for alert in message.alerts]
                self._send(AlertsTaken(tuple(alert.id for alert in message.alerts)))
            case LocalModelOnly():
                self.local_only.append(message.on)

    def _send(self, message: msgspec.Struct) -> None:
        self._socket.sendall(frame_of(message))


@dataclass
class Host:
    """The agent, its gateway and the programs that hurt."""

    directory: Path
    rules: str
    clock: SimulatedClock = field(default_factory=lambda: SimulatedClock(now_boot_ns=S, offset_to_wall_ns=WALL_NS))
    agent: Agent = field(init=False)
    gateway: Gateway = field(init=False)
    pids: int = 1000

    def __post_init__(self) -> None:
        for name in ("state", "run", "root/proc"):
            (self.directory / name).mkdir(parents=True)
        (self.directory / "alerts.yaml").write_text(self.rules)
        self.world, self.seen = World(self.clock), Seen(self.clock)
        self.start()

    def start(self) -> None:
        places = {name: self.directory / name for name in ("state", "run", "root")}
        file = self.directory / "brainkernel.toml"
        paths = Paths(state_dir=places["state"], runtime_dir=places["run"], config_file=file, root=places["root"])
        config = config_of(learning=False)
        self.whole = WorldWhole(lambda: config, Ground(config, paths, self.clock, self.seen), self.world)
        self.agent = self.whole.agent()
        self.connect()

    def connect(self) -> None:
        self.gateway = Gateway(self.directory / "run" / GATEWAY_SOCKET, self.clock)
        self.live(1)

    def stop(self) -> None:
        self.agent.release_all(1.0)
        self.agent.close()
        self.gateway.close()

    def live(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.clock.advance_to(self.clock.boot_ns() + S)
            for _ in range(2):  # a question, and its answer
                self.whole.tiers.asker.on_readable()
                self.gateway.serve()
                self.whole.tiers.asker.on_readable()
                self.agent.between()
            self.agent.tick()
            self.whole.limits.take_results()
            self.gateway.serve()

    def begin(self, cpus: float = HOG_CPU) -> ProcessKey:
        self.pids += 1
        key = key_of(self.pids, self.clock.boot_ns())
        start = start_of(f"/opt/batch/job{self.pids}", LIKE)
        self.world.begin(msgspec.structs.replace(start, key=key, time_ns=self.clock.boot_ns()), cpus)
        return key

    def be_told_wrong(self) -> None:
        key = self.begin()
        self.live(30)
        for decision in self.seen.hurting:
            if decision.suspect.key == key:
                self.whole.oversight.feedback(decision, FeedbackArguments(id=decision.id, good=False), PERSON)
        self.world.end(key)

    def begin_many(self) -> None:
        for _ in range(20):
            self.begin(cpus=0)
            self.live(1)
        self.live(10)

    @property
    def limited(self) -> int:
        return sum(process.limit is not None for process in self.world.processes.values())

    @property
    def strategy(self) -> str:
        return self.whole.judging.strategist.strategy.value

    @property
    def told(self) -> list[str]:
        return [text for _, text in self.seen.told if text.startswith("alert")]


@contextlib.contextmanager
def a_host(directory: Path, rules: str) -> Iterator[Host]:
    host = Host(directory, rules)
    try:
        yield host
    finally:
        host.stop()


def hurt(actions: str, cooldown: str = "0s") -> str:
    return HURT.format(actions=actions, cooldown=cooldown)


def test_pause_of_an_alert_frees_all_and_ends_with_it(tmp_path: Path) -> None:
    """What stands is released and nothing new is limited while it fires; afterwards it is as before, and both are in the audit log."""
    with a_host(tmp_path, hurt("log_alert, notify_webhook, pause_scheduling")) as host:
        host.begin()
        host.live(30)
        before = host.limited
        host.world.storm = True
        host.live(10)
        amid = host.agent.status().paused, host.limited, list(host.gateway.alerts)
        host.world.storm = False
        host.live(RESOLVE_S - 5)
        still = host.agent.status().paused
        host.live(60)
        after = host.agent.status().paused, host.limited, list(host.gateway.alerts)
        audit = [entry.text for entry in host.whole.store.audit.of(("alert",))]

    assert before == 1
    assert amid == (True, 0, ["hurt firing"])
    assert still
    assert after == (False, 1, ["hurt firing", "hurt resolved"])
    assert [text.partition(" (")[0] for text in audit] == [
        "hurt: pause_scheduling: paused: nothing is limited until the alert resolves, or `brainkernel resume`",
        "hurt resolved: pause_scheduling: resumed",
    ]
    assert "cpu_pressure > 80 (cpu_pressure = 9" in audit[0]


def test_pause_that_two_alerts_hold_ends_with_the_last(tmp_path: Path) -> None:
    """Once paused is enough, and one of two is not all."""
    second = '  - {name: limits, "on": limit_released, severity: info, lasts: 300s, actions: [pause_scheduling]}\n'
    with a_host(tmp_path, hurt("pause_scheduling") + second) as host:
        host.begin()
        host.live(30)
        host.world.storm = True
        host.live(10)  # the pause releases the limit, which is the other rule's event
        host.world.storm = False
        host.live(RESOLVE_S + 20)
        one_left = host.agent.status().paused
        host.live(300)

        assert one_left
        assert not host.agent.status().paused
        assert len([text for text in host.told if "paused" in text]) == 1
        assert host.whole.figures.value(metrics.ALERT_ACTIONS, "pause_scheduling", "held_already") == 1


@pytest.mark.parametrize("paused", [True, False])
def test_person_who_pauses_or_resumes_amid_an_alert_is_obeyed(tmp_path: Path, paused: bool) -> None:
    """Now, and when the alert is over."""
    with a_host(tmp_path, hurt("log_alert, pause_scheduling")) as host:
        host.world.storm = True
        host.live(10)
        host.agent.set_paused(paused=paused)
        host.live(10)
        amid = host.agent.status().paused
        host.world.storm = False
        host.live(RESOLVE_S + 20)

        assert (amid, host.agent.status().paused) == (paused, paused)
        assert host.told[-1] == "alert hurt resolved: pause_scheduling: left as a person set it"


def test_action_that_was_undone_waits_for_its_cooldown(tmp_path: Path) -> None:
    """An alert that comes back at once has the agent paused again only then."""
    with a_host(tmp_path, hurt("pause_scheduling", cooldown="5m")) as host:
        paused = []
        for storm, seconds in ((True, 10), (False, RESOLVE_S + 20), (True, 200), (True, 150)):
            host.world.storm = storm
            host.live(seconds)
            paused.append(host.agent.status().paused)

    assert paused == [True, False, False, True]


def test_conservative_strategy_of_an_alert_ends_with_it(tmp_path: Path) -> None:
    """A person's word stands before it; a restart amid the alert leaves nothing behind."""
    with a_host(tmp_path, hurt("switch_to_conservative_mode")) as host:
        found = [host.strategy]
        host.world.storm = True
        host.live(10)
        found.append(host.strategy)
        host.whole.oversight.set_strategy(StrategyArguments("aggressive", seconds=20), PERSON)
        found.append(host.strategy)
        host.live(40)
        found.append(host.strategy)
        host.stop()
        host.world.storm = False
        host.start()
        found.append(host.strategy)

    assert found == ["balanced", "conservative", "aggressive", "conservative", "balanced"]


def test_strategy_that_a_person_forced_amid_an_alert_outlives_it(tmp_path: Path) -> None:
    """Also where it is the very one that the alert asked for."""
    with a_host(tmp_path, hurt("switch_to_conservative_mode")) as host:
        host.world.storm = True
        host.live(10)
        host.whole.oversight.set_strategy(StrategyArguments("conservative"), PERSON)
        host.world.storm = False
        host.live(RESOLVE_S + 20)

        assert (host.strategy, host.whole.judging.strategist.is_forced) == ("conservative", True)
        assert host.told[-1].endswith("left as a person set it")


def test_local_models_alone_are_asked_while_an_alert_fires(tmp_path: Path) -> None:
    """The gateway is told, and one that comes meanwhile too; at the end it is told that all is as configured."""
    with a_host(tmp_path, hurt("fallback_to_local_model")) as host:
        host.world.storm = True
        host.live(10)
        first = list(host.gateway.local_only)
        host.gateway.close()
        host.whole.tiers.asker.on_readable()
        host.connect()
        host.live(5)
        second = list(host.gateway.local_only)
        host.world.storm = False
        host.live(RESOLVE_S + 20)

        assert (first, second, host.gateway.local_only) == ([False, True], [True], [True, False])


def test_event_that_made_the_agent_act_ends_after_its_time(tmp_path: Path) -> None:
    """It lasts from the latest event on, then all is as before, which is told; the next event acts anew."""
    with a_host(tmp_path, LIMITED.format(actions="notify_webhook, switch_to_conservative_mode", cooldown="1s")) as host:
        found, firing = [], host.whole.figures.by_labels(metrics.ALERT_FIRING)
        for seconds in (30, 50):
            host.begin()
            host.live(seconds)
            found.append(host.strategy)
            firing |= host.whole.figures.by_labels(metrics.ALERT_FIRING)
        host.world.processes.clear()
        host.live(70)
        found.append(host.strategy)
        told = list(host.gateway.alerts)
        host.begin()
        host.live(30)
        found.append(host.strategy)

    assert found == ["conservative", "conservative", "balanced", "conservative"]
    assert firing == {("seen",): 1}
    assert (told[0], told[-1], told.count("seen resolved")) == ("seen event", "seen resolved", 1)


def test_rules_of_the_issue_act_on_figures_of_their_own_and_are_undone(tmp_path: Path) -> None:
    """Slow decisions, wrong limits and a model that fails, each with what its rule asks for; the version that was left stays left."""
    with a_host(tmp_path, SHIPPED.read_text()) as host:
        host.gateway.late_s = 6
        host.begin_many()
        slow = host.strategy
        host.gateway.late_s, host.gateway.failing = 0, True
        host.begin_many()
        failing = list(host.gateway.local_only)
        host.gateway.failing = False
        host.live(1500)
        recovered = host.strategy, list(host.gateway.local_only), host.agent.status().paused

        host.whole.improving.versioning.propose(LEARNED, "learned")
        while not host.agent.status().paused and host.pids < 1200:
            host.be_told_wrong()
        wrong = host.agent.status().paused, host.whole.arms.current.number
        host.clock.advance_to(host.clock.boot_ns() + 25 * 3600 * S)
        host.live(1000)

        assert slow == "conservative"
        assert failing == [False, True]
        assert recovered == ("balanced", [False, True, False], False)
        assert wrong == (True, 1)
        assert (host.agent.status().paused, host.whole.arms.current.number) == (False, 1)
        assert (
            "alert high_false_positive_rate resolved: rollback_to_previous_version: version 1 stays in force; `brainkernel rollback 2` takes 2 up again"
            in host.told
        )
        assert {alert.partition(" ")[0] for alert in host.gateway.alerts} == {
            "high_decision_latency",
            "high_false_positive_rate",
            "llm_api_failure",
        }


def test_rest_of_a_burst_is_told_and_not_acted_on_again(tmp_path: Path) -> None:
    """A person who resumed is not overruled by what was counted before; how often it happened is told all the same."""
    rules = 'alert_rules:\n  - {name: slow, "on": budget_breach, severity: info, lasts: 60s, cooldown: 90s, actions: [log_alert, pause_scheduling]}\n'
    with a_host(tmp_path, rules) as host:
        for number in range(5):
            host.whole.alerting.breach(
                Breach(budget="llm", by_window=False, decision_id=number, ms=3, allowed_ms=2, trace=(), text=f"decision {number} was slow")
            )
        paused = host.agent.status().paused
        host.live(120)

        assert (paused, host.agent.status().paused) == (True, False)
        assert [text for text in host.told if "was slow" in text and "pause" not in text] == [
            "alert slow event (info): decision 0 was slow",
            "alert slow event (info): decision 4 was slow (4 times since it was told)",
        ]
