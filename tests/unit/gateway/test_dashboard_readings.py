"""What a browser asks, made into questions to the daemon: bounded, shared, and with a sentence where there is no answer."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Any

import pytest
from brainkernel import metrics
from brainkernel.gateway.web import live as live_module
from brainkernel.gateway.web.live import Live
from brainkernel.gateway.web.readings import POINTS, TRIES, Readings, SeriesQuery, UnansweredError
from brainkernel.gateway.web.shared import KEPT_MAX, Shared
from brainkernel.link.messages import DecisionsAsked, Read, ReadAnswered, SeriesAsked
from brainkernel.monitoring.sources import SOURCES
from support import dashboard_data
from support.web_server import FakeDaemon, FakeSources, connected, get, serving

NOW_S = 1_790_000_000


def readings(daemon: FakeDaemon) -> Readings:
    return Readings(daemon.read, lambda: [{}], wall_s=lambda: NOW_S, wait=lambda _s: None)


@pytest.mark.parametrize("span_s", [300, 3600, 86_400, 2_592_000])
def test_range_is_asked_for_in_as_many_points_as_a_plot_has(span_s: int) -> None:
    """From now back, in steps that fit; names by pattern, in questions the daemon takes."""
    daemon = FakeDaemon(SeriesAsked=dashboard_data.series)

    found = readings(daemon).series(SeriesQuery(name=("decision_*", "decisions_per_s.*", "nothing.*"), range=span_s))

    asked = [question for question in daemon.asked if isinstance(question, SeriesAsked) and question.names]
    assert set(found["series"]) == {name for name in dashboard_data.NAMES if name.startswith("decision")}
    assert all(question.to_s - question.from_s == span_s and question.to_s == NOW_S + 1 for question in asked)
    assert all(len(line["mean"]) <= POINTS + 2 for line in found["series"].values())
    assert all(len(question.names) * span_s // max(1, question.step_s) <= 4096 for question in asked)


@pytest.mark.parametrize(
    ("span", "fresh_s"), [({"range": 300}, 2), ({"range": 3600}, 10), ({"range": 2_592_000}, 60), ({"to_s": 1 << 40}, 60)]
)
def test_answer_is_good_for_a_point_of_the_plot_and_for_a_minute_at_most(span: dict[str, int], fresh_s: float) -> None:
    """Thirty days that were asked for at the start of the daemon are not empty for two hours."""
    assert SeriesQuery(name=("a",), **span).fresh_s == fresh_s


def test_parts_of_an_answer_are_on_one_grid() -> None:
    """Where the daemon answers some names in longer steps, all are asked for in those."""

    def uneven(asked: SeriesAsked) -> dict[str, Any]:
        coarse = max(asked.step_s, 60 if "host_cpu_pct" in asked.names else 1)
        return dashboard_data.series(SeriesAsked(id=0, names=asked.names, from_s=asked.from_s, to_s=asked.to_s, step_s=coarse))

    found = readings(FakeDaemon(SeriesAsked=uneven)).series(SeriesQuery(name=("*",), range=3600))

    assert found["step_s"] == 60
    assert len({len(line["mean"]) for line in found["series"].values()}) == 1


@pytest.mark.parametrize(
    "query",
    ["", "range=300", "name=a", "name=a&range=9", "name=a&range=99999999", "name=a&range=x", "name=a&from=5&to=4", "name=a&range=300&x=1",
     "name=" + "a" * 100 + "&range=300", "&".join(["name=a"] * 20) + "&range=300"],
)  # fmt: skip
def test_question_for_figures_that_is_none_is_refused(query: str) -> None:
    """Before the daemon hears of it."""
    sources = FakeSources(FakeDaemon(SeriesAsked=dashboard_data.series))
    with serving(sources=sources) as server:
        assert get(server, f"/api/series?{query}").status == 400

    assert [q for q in sources.daemon.asked if isinstance(q, SeriesAsked) and q.names] == []


def test_filter_of_decisions_is_that_of_the_wire() -> None:
    """Words of the address become the fields of the question; what is no filter is a sentence."""
    sources = FakeSources(FakeDaemon(DecisionsAsked=dashboard_data.lines(3)))
    with serving(sources=sources) as server:
        found = get(
            server, "/api/decisions?kind=limit&category=background&tier=rules&from=5&to=9&late_ms=1.5&within_ms=5&before=7&limit=10"
        )
        wrong = [get(server, f"/api/decisions?{q}").status for q in ("kind=x", "limit=1000", "limit=x", "id=1", "nonsense=1", "from=-1")]

    assert len(json.loads(found.body)["decisions"]) == 3
    assert sources.daemon.asked[0] == DecisionsAsked(
        id=0, kind="limit", category="background", tier="rules", from_s=5, to_s=9, late_ms=1.5, within_ms=5, before_id=7, limit=10
    )
    assert wrong[:3] + wrong[4:] == [400] * 5


@pytest.mark.parametrize(("error", "status"), [("away", 503), ("timeout", 504), ("not_there", 404), ("too_large", 502), ("odd", 502)])
def test_daemon_without_an_answer_is_a_sentence(error: str, status: int) -> None:
    """Each cause has its status, and says what to do where something can be done."""
    daemon = FakeDaemon()
    daemon.read = lambda question, _timeout_s: ReadAnswered(id=question.id, error=error)  # type: ignore[method-assign]
    with serving(sources=FakeSources(daemon)) as server:
        answer = get(server, "/api/decisions/5")

    assert (answer.status, len(answer.body) > 15) == (status, True)


def test_daemon_that_is_asked_too_often_is_asked_again() -> None:
    """A burst of dashboards waits its turn, and not for ever."""
    answers = iter(["too_often", "too_often", ""])
    asked: list[Read] = []

    def read(question: Read, _timeout_s: float) -> ReadAnswered:
        asked.append(question)
        error = next(answers, "too_often")
        return ReadAnswered(id=0, error=error, result=None if error else {})

    patient = Readings(read, lambda: [{}], wait=lambda _s: None)

    assert patient.decision(1) == {}
    with pytest.raises(UnansweredError, match="too often"):
        patient.decision(1)
    assert len(asked) == 3 + TRIES


def test_every_figure_that_a_view_asks_for_is_kept() -> None:
    """A name that nobody samples would be a plot that is always empty, and say nothing."""
    script = files("brainkernel.gateway.web").joinpath("static/views.js").read_text()
    asked = {name for names in re.findall(r"names: \[(.*?)\]", script) for name in re.findall(r"'(.+?)'", names)}
    kept = {source.name for source in SOURCES}
    families = tuple(name.removesuffix("{}") for name in kept if name.endswith("{}"))
    missing = [name for name in asked if not name.startswith(families) and not any(fnmatchcase(one, name) for one in kept)]

    assert len(asked) > 30
    assert missing == []


def test_same_question_at_the_same_time_is_asked_once() -> None:
    """Whoever comes while it is under way, or soon after, shares the answer; a failure is shared and forgotten."""
    calls: list[str] = []

    async def ask() -> str:
        calls.append("asked")
        await asyncio.sleep(0)
        if len(calls) == 2:
            msg = "no"
            raise LookupError(msg)
        return f"answer {len(calls)}"

    async def everybody() -> list[Any]:
        shared: Shared[str] = Shared()
        first = await asyncio.gather(*[shared.get("q", 60, ask) for _ in range(200)])
        failed = await asyncio.gather(*[shared.get("other", 60, ask) for _ in range(3)], return_exceptions=True)
        again = await shared.get("other", 60, ask)
        for number in range(3 * KEPT_MAX):
            await shared.get(number, 60, ask)
        return [set(first), [type(f) for f in failed], again, len(shared._kept) <= KEPT_MAX]

    assert asyncio.run(everybody()) == [{"answer 1"}, [LookupError] * 3, "answer 3", True]


def test_two_hundred_dashboards_are_one_question_to_the_daemon() -> None:
    """All of them get live events; the daemon is asked as for one, and metrics are served all the while."""
    sources = dashboard_data.sources()
    with serving(sources=sources) as server:
        streams = [connected(server) for _ in range(200)]
        try:
            for stream in streams:
                stream.sendall(b"GET /api/live?name=host_cpu_pct HTTP/1.1\r\nHost: localhost\r\n\r\n")
            events = [_first_event(stream) for stream in streams]
            statuses = [get(server, "/metrics").status, get(server, "/").status]
        finally:
            for stream in streams:
                stream.close()
        overviews = sum(type(question).__name__ == "OverviewAsked" for question in sources.daemon.asked)

    assert {event["connected"] for event in events} == {True}
    assert all("host_cpu_pct" in event["tail"]["series"] for event in events)
    assert statuses == [200, 200]
    assert overviews <= 20
    assert sources.said == []


def _first_event(stream: Any) -> dict[str, Any]:
    data = b""
    while b"\r\n" not in data.partition(b"data: ")[2]:
        piece = stream.recv(1 << 16)
        assert piece, data
        data += piece
    event: dict[str, Any] = json.loads(data.partition(b"data: ")[2].partition(b"\n\n")[0])
    return event


def test_live_asks_nothing_while_nobody_looks() -> None:
    """The last one who leaves ends the questions; who comes later has them again; what was wanted is forgotten."""
    wanted: list[set[str]] = []

    async def ask(names: Any) -> bytes:
        wanted.append(set(names))
        return b"{}"

    async def looking() -> list[int]:
        live = Live(ask, interval_s=0.001)
        counts = []
        for name in ("a", "b"):
            events = live.events([name])
            for _ in range(4):
                await anext(events)
            await events.aclose()  # type: ignore[attr-defined] # it is a generator
            await asyncio.sleep(0.05)
            counts.append(len(wanted))
            await asyncio.sleep(0.05)
            counts.append(len(wanted))
        return counts

    first, still, second, still_then = asyncio.run(looking())

    assert (first, second) == (still, still_then)
    assert second > first
    assert {frozenset(names) for names in wanted if names} == {frozenset("a"), frozenset("b")}


def test_names_that_one_looker_makes_up_do_not_keep_out_those_that_many_want() -> None:
    """Each pattern is held against each figure, every two seconds: how many there are is bounded over all who look."""
    wanted: list[list[str]] = []

    async def ask(names: Any) -> bytes:
        wanted.append(list(names))
        return b"{}"

    async def looking() -> None:
        live = Live(ask, interval_s=0.001)
        made_up = [f"{looker}.{n}" for looker in range(10) for n in range(64)]
        lookers = [live.events(names) for names in (made_up, ["a"], ["a"])]
        for _ in range(4):
            for events in lookers:
                await anext(events)

    asyncio.run(looking())

    assert wanted[-1][0] == "a"
    assert len(wanted[-1]) == live_module.WANTED_MAX


def test_too_many_lookers_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the places a page is told to come back later, and nothing else suffers."""
    monkeypatch.setattr(live_module, "LOOKERS_MAX", 1)
    with serving(sources=dashboard_data.sources()) as server, connected(server) as looker:
        looker.sendall(b"GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        _first_event(looker)

        refused = get(server, "/api/live")

        assert (refused.status, refused.headers["Retry-After"]) == (503, "30")
        assert get(server, "/healthz").status == 200


def test_sums_of_the_live_event_are_those_of_both_processes() -> None:
    """Counted by label."""
    sources = FakeSources(FakeDaemon(OverviewAsked=dashboard_data.overview()))
    sources.figures.add(metrics.LLM_FAILURES, "groq", "timeout", by=2)

    event = sources.readings.live([])

    assert event["figures"]["llm_failures"] == [[("groq", "timeout"), 2]]
    assert (event["connected"], event["tail"]) == (True, None)


def test_slow_daemon_stops_no_other_answer() -> None:
    """While the daemon takes its time, files and the sign of life come at once."""
    hold = threading.Event()
    sources = FakeSources(FakeDaemon(DecisionAsked=lambda _q: {"waited": hold.wait(60)}))
    with serving(sources=sources) as server:
        slow = connected(server)
        slow.sendall(b"GET /api/decisions/1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        statuses = [get(server, path).status for path in ("/", "/healthz", "/static/dashboard.js")]
        hold.set()
        answer = slow.recv(1 << 16)
        slow.close()

    assert statuses == [200] * 3
    assert answer.startswith(b"HTTP/1.1 200")
