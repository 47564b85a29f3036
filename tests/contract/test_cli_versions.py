"""`versions`, `diff`, `rollback` and `canary` over the control socket and over the disk alone."""

from __future__ import annotations

import json
import os
import select
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from brainkernel.cli import main
from brainkernel.clock import SystemClock
from brainkernel.commands import AgentCommands
from brainkernel.config import Quality
from brainkernel.control import ControlServer
from brainkernel.link.control import SOCKET_NAME
from brainkernel.metrics import Figures
from brainkernel.model import DecisionKind, Judgement, JudgementSource
from brainkernel.versioning.answering import commands_of
from brainkernel.versioning.trial import Tally, wrong_by_version
from support.control_side import RecordingAgent, oversight_of
from support.nouns import a_symptom
from support.stores import NOON_NS, a_decision, opened
from support.versions import Etc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Called = tuple[int, str, str]


def called(capsys: pytest.CaptureFixture[str], *words: str) -> Called:
    code = main(list(words))
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def etc(tmp_path: Path) -> Etc:
    """Two versions: the second makes the index a service, and three of its limits in twelve were wrong."""
    etc = Etc(tmp_path)
    versioning = etc.start()
    etc.write_config("[policy.background]\nmin_confidence = 0.9\n")
    etc.write_rule("index", "service")
    versioning.follow(versioning.read())
    return etc


def judgements() -> list[Judgement]:
    return [
        Judgement(time_ns=NOON_NS, decision_id=n, source=JudgementSource.FEEDBACK, limited=True, act_right=n > 3, content=n > 3, version=2)
        for n in range(1, 13)
    ]


@contextmanager
def running(etc: Etc) -> Iterator[None]:
    """A daemon's control socket in a thread, with real versions behind it."""
    ready, end = threading.Event(), threading.Event()

    def serve() -> None:
        tally = Tally()
        for n in range(1, 41):
            tally.decided(a_decision(n, version=2, symptom=a_symptom(), kind=DecisionKind.LIMIT if n < 13 else DecisionKind.LEAVE))
        with opened(etc.root / "store") as host:
            more = commands_of(
                etc.start(),
                tally,
                lambda: wrong_by_version(judgements(), Quality()),
                lambda: ["limits: 12 words; too few words to learn from"],
            )
            agent = RecordingAgent()
            commands = AgentCommands(agent, host.store.decisions, oversight_of(agent, host, Figures()), more)
            server = ControlServer(etc.root / SOCKET_NAME, commands, SystemClock(), Figures())
            ready.set()
            while not end.is_set():
                if select.select([server], [], [], 0.02)[0]:
                    server.on_readable()
            server.close()

    thread = threading.Thread(target=serve)
    thread.start()
    ready.wait(20)
    try:
        yield
    finally:
        end.set()
        thread.join(20)


def test_versions_shows_what_is_in_force_and_how_each_does(etc: Etc, capsys: pytest.CaptureFixture[str]) -> None:
    """For people and for programs."""
    with running(etc):
        code, out, _ = called(capsys, "versions", "--runtime-dir", str(etc.root))
        _, as_json, _ = called(capsys, "versions", "--runtime-dir", str(etc.root), "--json")

    lines = out.splitlines()
    assert code == 0
    assert lines[1].split()[0] == "2"
    assert "in force" in lines[1]
    assert "25 % (9-53), 12 of 40" in lines[1]
    assert "the files changed: policy, rules.d/index.yaml" in lines[1]
    assert "learning limits: 12 words" in out
    found = json.loads(as_json)
    assert (found["in_force"], found["versions"][0]["arm"]["wrong"], found["versions"][1]["why"]) == (2, 0.25, "the first one")


def test_rollback_and_back_over_the_socket(etc: Etc, capsys: pytest.CaptureFixture[str]) -> None:
    """The note says what the files say; who did it is the other end of the socket."""
    with running(etc):
        code, out, _ = called(capsys, "rollback", "--runtime-dir", str(etc.root))
        _, shown, _ = called(capsys, "versions", "--runtime-dir", str(etc.root))
        missing = called(capsys, "rollback", "9", "--runtime-dir", str(etc.root))
        again = called(capsys, "rollback", "1", "--runtime-dir", str(etc.root))
        back = called(capsys, "rollback", "2", "--runtime-dir", str(etc.root), "--json")

    assert (code, out) == (0, "version 1 is in force, rolled back from version 2\n")
    assert f"rolled back from version 2 (by uid {os.getuid()})" in shown
    assert "note: version 1 is in force until a file changes: the files say what version 2 holds; `brainkernel rollback 2`" in shown
    assert (missing[0], again[0], back[0]) == (2, 2, 0)
    assert "no version 9" in missing[2]
    assert json.loads(back[1])["in_force"] == 2


def test_canary_over_the_socket(etc: Etc, capsys: pytest.CaptureFixture[str]) -> None:
    """Tried, shown with its share, withdrawn, tried again and taken up."""
    where = ("--runtime-dir", str(etc.root))
    with running(etc):
        tried = called(capsys, "canary", "1", "--share", "25%", *where)
        _, shown, _ = called(capsys, "versions", *where)
        withdrawn = called(capsys, "canary", "withdraw", *where)
        none = called(capsys, "canary", "promote", *where)
        called(capsys, "canary", "1", *where)
        promoted = called(capsys, "canary", "promote", "--json", *where)

    assert tried[:2] == (0, "version 1 decides about 25 % of all programs (the first one)\n")
    assert "canary 25 %" in shown
    assert "version 2 decides about all programs" in withdrawn[1]
    assert (none[0], "no version is being tried out" in none[2]) == (2, True)
    assert json.loads(promoted[1])["in_force"] == 1


@pytest.mark.parametrize("words", [("canary", "x"), ("canary", "1", "--share", "100%"), ("canary",), ("rollback", "-1"), ("diff", "1")])
def test_wrong_usage_exits_2(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """One or two lines that say what to write."""
    try:
        code = main(list(words))
    except SystemExit as end:
        code = int(end.code or 0)

    assert code == 2
    assert capsys.readouterr().err


def test_without_a_daemon_the_disk_is_read_and_written(etc: Etc, capsys: pytest.CaptureFixture[str]) -> None:
    """Useful when the newest version is why the agent does not run."""
    where = ("--runtime-dir", str(etc.root), "--state-dir", str(etc.root / "state"))

    shown = called(capsys, "versions", *where)
    back = called(capsys, "rollback", *where)
    none_before = called(capsys, "rollback", *where)
    as_json = called(capsys, "rollback", "2", "--json", *where)
    called(capsys, "rollback", "1", *where)

    assert "in force" in shown[1].splitlines()[1]
    assert back[:2] == (0, "version 1 is in force at the next start, rolled back from version 2\n")
    assert (none_before[0], "no version before 1" in none_before[2]) == (2, True)
    assert json.loads(as_json[1])["in_force"] == 2
    assert etc.start().arms.current.number == 1


def test_without_a_daemon_and_without_versions_exits_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is nobody to ask."""
    where = ("--runtime-dir", str(tmp_path), "--state-dir", str(tmp_path / "none"))

    assert [called(capsys, name, *where)[0] for name in ("versions", "rollback")] == [4, 4]
    assert called(capsys, "canary", "1", "--runtime-dir", str(tmp_path))[0] == 4


def test_diff_names_settings_and_lines_of_rules(etc: Etc, capsys: pytest.CaptureFixture[str]) -> None:
    """And says nothing of what is the same."""
    where = ("--state-dir", str(etc.root / "state"))

    code, out, _ = called(capsys, "diff", "1", "2", *where)
    same = called(capsys, "diff", "2", "2", *where)
    missing = called(capsys, "diff", "1", "7", *where)
    _, as_json, _ = called(capsys, "diff", "1", "2", "--json", *where)

    assert code == 0
    assert "policy.background.min_confidence: 0.7 -> 0.9" in out
    assert "  -    category: background\n  +    category: service" in out
    assert "model.bin" not in out
    assert same[1] == "versions 2 and 2 hold the same\n"
    assert (missing[0], "no version 7" in missing[2]) == (2, True)
    assert [file["name"] for file in json.loads(as_json)["files"]] == ["policy.json", "rules.d/index.yaml"]


def test_diff_of_a_damaged_version_says_so(etc: Etc, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that names the file."""
    (etc.files.folder_of(etc.files.all()[0]) / "policy.json").write_text("{")

    code, _, err = called(capsys, "diff", "1", "2", "--state-dir", str(etc.root / "state"))

    assert (code, "policy.json: damaged" in err) == (1, True)
