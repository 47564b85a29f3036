"""The commands that ask a daemon, against the daemon's own control server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from brainkernel.cli import main
from brainkernel.link.control import SOCKET_NAME
from brainkernel.model import DecisionKind, ReleaseResult
from support.control_side import RecordingAgent, a_limit_decision, serving
from support.nobody import as_nobody, needs_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[RecordingAgent]:
    """A daemon's control socket in tmp_path."""
    with serving(tmp_path) as recording:
        yield recording


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run one command against tmp_path's socket."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main([*words, "--runtime-dir", str(tmp_path)])
        return (code, *capsys.readouterr())

    return run


def test_status_says_what_the_agent_does(agent: RecordingAgent, call: Call) -> None:
    """Mode, loader, model, counts and latencies, and what does not work."""
    code, out, err = call("status")

    assert (code, err) == (0, "")
    for part in (
        "enforce", "core (the kernel has BTF)", "ollama qwen2.5:3b (it answers", "1 h 2 min", "1000 seen: 990 known, 10 new; 0 lost",
        "2 LLM calls", "2 limit, 9 note", "1 stand", "total", "812.00", "note: the database is in memory",
    ):  # fmt: skip
        assert part in out
    assert json.loads(call("status", "--json")[1])["counts"]["execs_seen"] == 1000


def test_list_shows_the_newest_first_and_marks_what_stands(agent: RecordingAgent, call: Call) -> None:
    """One line per decision, hostile names escaped."""
    code, out, _ = call("list")

    lines = out.splitlines()
    assert code == 0
    assert [line.split()[0] for line in lines[1:4]] == ["3", "2", "1"]
    assert "limit* cpu_weight" in lines[2]
    assert "\x1b" not in out
    assert "\\x1b[31mtool" in out


def test_list_as_json_is_one_object_per_line(agent: RecordingAgent, call: Call) -> None:
    """Each line can be read by itself."""
    code, out, _ = call("list", "--json", "--limit", "2")

    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(one["id"], one["decision"], one["active"]) for one in found] == [(3, "refused", False), (2, "limit", True)]


@pytest.mark.parametrize(
    ("options", "ids"),
    [(["--active"], [2]), (["--before", "3", "--limit", "1"], [2]), (["--program", "sshd"], [3]), (["--program", "nothing"], [])],
    ids=["active", "page", "program", "nobody"],
)
def test_list_filters(agent: RecordingAgent, call: Call, options: list[str], ids: list[int]) -> None:
    """By what stands, by page, by program."""
    _, out, _ = call("list", "--json", *options)

    assert [json.loads(line)["id"] for line in out.splitlines()] == ids


def test_explain_tells_the_whole_story(agent: RecordingAgent, call: Call) -> None:
    """Event, verdict, harm, limit, effect, times, and the command that undoes it."""
    code, out, _ = call("explain", "2")

    assert code == 0
    for part in (
        "/usr/bin/restic", "'/srv data'", "/usr/sbin/cron", "first start of /usr/bin/restic", "background, 93 % sure", "rule backup-tools",
        "backup runs while nobody waits", "uses 100 % of a CPU", "mysqld waits 50 %", "CPUWeight: (unset) -> 20",
        "mysqld waited 80 % less; it used 18 % of a CPU instead of 100 %", "it helped", "stands now", "enrich", "3.0 ms", "█",
        "undo it:  brainkernel undo 2",
    ):  # fmt: skip
        assert part in out
    assert json.loads(call("explain", "2", "--json")[1])["outcome"]["helped"] is True


def test_explain_works_on_a_terminal_that_is_not_utf8(agent: RecordingAgent, tmp_path: Path) -> None:
    """An old locale costs the pretty bars, not the answer."""
    words = [sys.executable, "-m", "brainkernel", "explain", "2", "--runtime-dir", str(tmp_path)]

    process = subprocess.run(words, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=True)

    assert b"undo it:  brainkernel undo 2" in process.stdout


def test_explain_names_refusals(agent: RecordingAgent, call: Call) -> None:
    """A rule that said no is named with its reason."""
    _, out, _ = call("explain", "3")

    assert "forbidden by" in out
    assert "protected_exe: /usr/sbin/sshd is protected" in out
    assert "undo it" not in out


def test_explain_of_no_decision_exits_2(agent: RecordingAgent, call: Call) -> None:
    """The daemon's own word comes through with its exit code."""
    code, out, err = call("explain", "77")

    assert (code, out) == (2, "")
    assert "there is no decision 77" in err


def test_undo_and_release_and_pause_reach_the_agent(agent: RecordingAgent, call: Call) -> None:
    """Each does what it says and tells how it went."""
    undone = call("undo", "2")
    released = call("release", "--all")
    paused, resumed = call("pause"), call("resume", "--json")

    assert agent.asked == ["undo 2", "release all", "paused=True", "paused=False"]
    assert undone == (0, "      2 restic: restored (tool.service)\n", "")
    assert "theirs" in released[1]
    assert "paused" in paused[1]
    assert json.loads(resumed[1]) == {"mode": "enforce", "paused": False, "why": ""}


def test_feedback_is_kept_and_shown(agent: RecordingAgent, call: Call) -> None:
    """A bad word about a limit says what follows from it, and `explain` shows who thinks what."""
    code, out, err = call("feedback", "2", "bad", "--label", "interactive", "--text", "I wait for it")

    assert (code, err) == (0, "")
    assert "restic is not limited again for a day" in out
    assert [lesson.decision_id for lesson in agent.learned] == [2]
    assert "I wait for it, it is interactive" in call("explain", "2")[1]
    assert json.loads(call("feedback", "1", "good", "--json")[1]) == {"id": 1, "text": "noted"}


def test_feedback_about_no_decision_exits_2(agent: RecordingAgent, call: Call) -> None:
    """Nothing is kept of it."""
    assert call("feedback", "99", "good")[0] == 2
    assert agent.learned == []


def a_pending(agent: RecordingAgent, decision_id: int = 3) -> None:
    decision = replace(a_limit_decision(decision_id), kind=DecisionKind.PENDING, acts=False)
    agent.approvals.ask(decision, 0, 600 * 10**9)


def test_pending_shows_the_evidence_and_both_answers(agent: RecordingAgent, call: Call) -> None:
    """All that a person needs to say yes or no."""
    nothing = call("pending")[1]
    a_pending(agent)

    code, out, _ = call("pending")

    assert nothing == "no limit waits for a person\n"
    assert code == 0
    for part in ("/usr/bin/restic", "background, 93 % sure", "cpu_weight=20", "rules: backup runs", "brainkernel deny 3", "10 min"):
        assert part in out
    assert [one["id"] for one in json.loads(call("pending", "--json")[1])["waiting"]] == [3]


def test_approve_and_deny_are_written_down_with_who(agent: RecordingAgent, call: Call) -> None:
    """An answer is given once, leads to a new look, and is in the log with uid and decision."""
    a_pending(agent)
    approved, again = call("approve", "3"), call("approve", "3")
    a_pending(agent, 4)
    denied = call("deny", "4", "--always")

    assert approved[0] == 0
    assert "approved: restic" in approved[1]
    assert again[0] == 2
    assert denied[0] == 0
    assert len(agent.reconsidered) == 1
    entries = json.loads(call("audit", "--json")[1])["entries"]
    assert [(e["deed"], e["decision_id"], e["uid"]) for e in entries] == [("deny_always", 4, os.getuid()), ("approve", 3, os.getuid())]
    assert "approve decision 3: /usr/bin/restic background cpu_weight=20" in call("audit")[1]


def test_alert_list_and_test_say_how_it_stands(agent: RecordingAgent, call: Call) -> None:
    """A test that one channel did not take fails, and names it."""
    listed, tested = call("alert", "list"), call("alert", "test", "slow")

    assert (listed[0], tested[0], agent.asked) == (0, 1, ["alert_test slow"])
    assert "firing  error    slow for 1 min 1 s: avg_decision_time > 1 (avg_decision_time = 9)" in listed[1]
    assert tested[1] == "slack: delivered\nwebhook: NOT delivered: no\n"
    assert call("alert", "test")[0] == 2
    assert "p99_decision_time" in call("alert", "names")[1]


def test_strategy_is_shown_forced_and_let_go(agent: RecordingAgent, call: Call) -> None:
    """Who forced it for how long is in the log, and a wrong length is a usage error."""
    shown = call("strategy")
    forced = json.loads(call("strategy", "conservative", "--for", "2h", "--json")[1])
    let_go = call("strategy", "auto")

    assert shown[1].startswith("balanced (no rule holds)")
    assert (forced["strategy"], forced["forced"], forced["seconds_left"], forced["check_interval_s"]) == ("conservative", True, 7200, 30)
    assert let_go[1].startswith("balanced")
    assert agent.told == ["strategy balanced -> conservative: forced", "strategy conservative -> balanced: the rules are followed again"]
    assert [e["deed"] for e in json.loads(call("audit", "--json")[1])["entries"]] == ["strategy_auto", "strategy_forced"]


@pytest.mark.parametrize("words", [["--for", "2h"], ["auto", "--for", "2h"], ["bold"], ["balanced", "--for", "2 hours"]])
def test_strategy_used_wrongly_exits_2(agent: RecordingAgent, call: Call, words: list[str]) -> None:
    """And nothing is forced."""
    try:
        code = call("strategy", *words)[0]
    except SystemExit as end:
        code = int(end.code or 0)

    assert code == 2
    assert agent.told == []


@pytest.mark.parametrize("width", [80, 120, 200])
def test_top_once_fits_its_width(agent: RecordingAgent, call: Call, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """One screen as text, the same at every look; nothing wider than the terminal, nothing hostile."""
    monkeypatch.setenv("COLUMNS", str(width))

    code, out, _ = call("top", "--once")

    golden = Path(__file__).parents[1] / "golden" / f"top_{width}.txt"
    assert code == 0
    assert max(len(line) for line in out.splitlines()) <= width
    assert "\x1b" not in out
    assert out == golden.read_text()
    assert json.loads(call("top", "--json")[1])["rows"][0]["limit"] == "cpu_weight=20"


def test_undo_that_fails_exits_1(agent: RecordingAgent, call: Call) -> None:
    """A limit that still stands is never reported as undone."""
    agent.undo_result = ReleaseResult.FAILED

    code, out, _ = call("undo", "2")

    assert code == 1
    assert "still stands" in out


def test_undo_of_what_does_not_stand_exits_2(agent: RecordingAgent, call: Call) -> None:
    """The way to what stands is shown."""
    code, _, err = call("undo", "1")

    assert code == 2
    assert "list --active" in err
    assert agent.asked == []


def answering(path: Path, answer: bytes) -> threading.Thread:
    """A server that reads a little, answers these bytes and closes."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        client, _ = listener.accept()
        with listener, client:
            client.recv(1 << 16)
            client.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize(
    "answer",
    [b"", b"\x00", b"\xff\xff\xff\xff", b"\x00\x00\x00\x02{}", b'\x00\x00\x00\x0f{"exit_code": 0}', b"HTTP/1.1 200 OK\r\n\r\n"],
    ids=["silence", "torn", "huge", "empty", "no result", "http"],
)
def test_answer_that_is_no_answer_exits_1(tmp_path: Path, call: Call, answer: bytes) -> None:
    """Whatever sits on the socket, it is one line on stderr."""
    thread = answering(tmp_path / SOCKET_NAME, answer)

    code, out, err = call("status")
    thread.join()

    assert (code, out) == (1, "")
    assert err.startswith("brainkernel: ")
    assert err.count("\n") == 1


def test_socket_without_a_listener_means_no_daemon(tmp_path: Path, call: Call) -> None:
    """A socket that a killed daemon left behind is told from a running one."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / SOCKET_NAME))

    assert call("status")[0] == 4


@needs_root
def test_socket_that_is_not_for_us_exits_3(tmp_path: Path, agent: RecordingAgent) -> None:
    """An ordinary user learns for whom it is."""
    for directory in (tmp_path, *list(tmp_path.parents)[:3]):
        directory.chmod(directory.stat().st_mode | 0o055)

    process = as_nobody(["pause", "--runtime-dir", str(tmp_path)], modules=["brainkernel.cli.pause", "brainkernel.cli.control_client"])

    assert process.returncode == 3
    assert "pause is for root" in process.stderr
    assert agent.asked == []
