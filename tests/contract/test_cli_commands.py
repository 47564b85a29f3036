"""What every command of DESIGN.md section 11 promises, without a daemon: help, usage, exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from brainkernel.cli import main
from brainkernel.cli.catalogue import ALL
from brainkernel.cli.parser import parser_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.nobody import as_nobody, needs_root

if TYPE_CHECKING:
    from pathlib import Path

DESIGNED = (
    "run classify record replay redact prompt status top explain list undo release pause resume pending approve deny feedback exam"
    " simulate versions rollback check-config doctor"
).split()
ASKS_THE_DAEMON = [
    ["status"],
    ["top"],
    ["alert", "list"],
    ["list"],
    ["explain", "1"],
    ["undo", "1"],
    ["feedback", "1", "good"],
    ["pending"],
    ["approve", "1"],
    ["deny", "1"],
    ["audit"],
    ["strategy"],
    ["strategy", "balanced"],
    ["pause"],
    ["resume"],
]
PRINTS = (
    "run",
    "status",
    "list",
    "explain",
    "undo",
    "release",
    "feedback",
    "pending",
    "approve",
    "deny",
    "audit",
    "strategy",
    "simulate",
    "pause",
    "resume",
    "prompt",
    "check-config",
    "doctor",
    "replay",
)


def call(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run the command line in this process."""
    try:
        code = main(list(words))
    except SystemExit as end:  # argparse
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_every_designed_command_is_there() -> None:
    """No interface that others rely on is missing."""
    assert set(DESIGNED) <= {entry.name for entry in ALL}


@pytest.mark.parametrize("name", [e.name for e in ALL])
def test_help_of_each_command_has_examples_and_describes_each_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` is all that a person needs."""
    code, out, err = call(name, "--help", capsys=capsys)

    assert (code, err) == (0, "")
    assert f"usage: brainkernel {name}" in out
    assert re.search(rf"examples:\n  .*brainkernel.*{name}", out)
    assert "{name}" not in out
    assert "{{" not in out


def test_options_are_all_described() -> None:
    """Completion and the manual are made of these texts."""
    commands = next(action for action in parser_of(None)._actions if action.dest == "command")
    for name, parser in commands.choices.items():  # type: ignore[union-attr]
        for action in parser._actions:
            assert action.help, f"{name}: {action.dest}"


@pytest.mark.parametrize("name", PRINTS)
def test_what_prints_has_json(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Programs can read every answer."""
    assert "--json" in call(name, "--help", capsys=capsys)[1]


def test_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` alone is where one begins."""
    code, out, _ = call("--help", capsys=capsys)

    assert code == 0
    assert all(f"\n  {entry.name} " in out for entry in ALL)


@pytest.mark.parametrize("words", ASKS_THE_DAEMON, ids=" ".join)
def test_command_without_a_daemon_exits_4_with_what_to_do(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, no traceback, and the way out."""
    code, out, err = call(*words, "--runtime-dir", str(tmp_path), capsys=capsys)

    assert (code, out) == (4, "")
    assert re.fullmatch(r"brainkernel: no daemon answers on .*control\.sock: start it with .*\n", err)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "usage: brainkernel"),
        (["statsu"], "did you mean 'status'?"),
        (["xyzzy"], "unknown command 'xyzzy'"),
        (["--nonsense"], "--nonsense"),
        (["list", "--limit", "0"], "0 is not between 1 and 500"),
        (["list", "--limit", "x"], "'x' is not a whole number"),
        (["undo"], "required: ID"),
        (["explain", "-1"], "explain"),
        (["explain", "9" * 30], "is not a whole number"),
        (["run", "--seconds", "-3"], "not a positive number"),
        (["run", "--seconds", "nan"], "not a positive number"),
        (["run", "--mode", "kill"], "invalid choice: 'kill'"),
        (["run", "--config", "/nonexistent.toml"], "/nonexistent.toml: no such file"),
        (["release"], "--all"),
        (["classify", "--input", "/nonexistent"], "/nonexistent: No such file"),
        (["classify", "--tiers", "rules,magic"], "'magic' is no tier"),
        (["check-config", "--rules", "/nonexistent"], "/nonexistent: no such directory"),
        (["completion", "tcsh"], "invalid choice"),
        (["status", "--runtime-dir", "/tmp/" + "x" * 200], "too long"),
    ],
    ids=lambda v: " ".join(v)[:40] if isinstance(v, list) else "",
)
def test_wrong_usage_exits_2_and_names_what_is_wrong(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake costs one look at one or two lines."""
    code, out, err = call(*words, capsys=capsys)

    assert (code, out) == (2, "")
    assert says in err
    assert "Traceback" not in err


@pytest.mark.parametrize("line", ['{"id": 1, "argv": 7}', "not json", '{"id": 1, "argv": ["a"]} trailing'])
@pytest.mark.parametrize("command", ["classify", "redact", "prompt"])
def test_bad_record_exits_2_and_names_its_line(command: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a file of a million lines the bad one is found."""
    (tmp_path / "in").write_text(f'{{"id": 0, "argv": ["ls"]}}\n{line}\n')

    code, _, err = call(command, "--input", str(tmp_path / "in"), capsys=capsys)

    assert code == 2
    assert "line 2" in err


def test_output_that_fails_leaves_the_old_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A result appears whole or not at all."""
    (tmp_path / "in").write_text('{"id": 0, "argv": ["ls"]}\nnot json\n')
    (tmp_path / "out").write_text("the old result")

    code, _, _ = call("redact", "--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"), capsys=capsys)

    assert code == 2
    assert {f.name: f.read_text() for f in tmp_path.iterdir() if f.name != "in"} == {"out": "the old result"}


def test_bad_configuration_exits_2_with_file_line_and_nearest_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """check-config says where and what was probably meant."""
    (tmp_path / "c.toml").write_text("[agent]\nmoed = 'observe'\n")

    code, out, err = call("check-config", "--config", str(tmp_path / "c.toml"), capsys=capsys)

    assert (code, out) == (2, "")
    assert err == f"brainkernel: {tmp_path}/c.toml:2: agent.moed: unknown key; did you mean 'mode'?\n"


def test_bad_rule_exits_2_with_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So it does for rules."""
    (tmp_path / "mine.yaml").write_text("rules:\n- id: x\n  nonsense: 1\n")

    code, out, err = call("check-config", "--rules", str(tmp_path), capsys=capsys)

    assert (code, out) == (2, "")
    assert f"{tmp_path}/mine.yaml:" in err


def test_check_config_of_nothing_is_valid_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The shipped defaults and rules are valid."""
    code, out, _ = call("check-config", "--json", capsys=capsys)

    assert code == 0
    assert json.loads(out)["valid"] is True


def test_bad_alert_rule_exits_2_with_file_line_key_and_nearest_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And so it does for alerts, whose conditions name figures."""
    (tmp_path / "a.yaml").write_text(
        "alert_rules:\n- name: x\n  severity: error\n  condition: avg_decision_tme > 1\n  actions: [log_alert]\n"
    )

    code, out, err = call("check-config", "--alerts", str(tmp_path / "a.yaml"), capsys=capsys)

    assert (code, out) == (2, "")
    assert err == f"brainkernel: {tmp_path}/a.yaml:4: x.condition: unknown name 'avg_decision_tme'; did you mean 'avg_decision_time'?\n"


def test_release_all_without_a_daemon_and_without_limits_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """ExecStopPost on a host where nothing was limited: exit 0, no file made."""
    code, out, err = call("release", "--all", "--state-dir", str(tmp_path / "no"), "--runtime-dir", str(tmp_path), capsys=capsys)

    assert (code, out, err) == (0, "no limit stands\n", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_and_options(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every ready command can be completed in each shell."""
    code, out, _ = call("completion", shell, capsys=capsys)

    assert code == 0
    assert all(entry.name in out for entry in ALL)
    assert "--runtime-dir" in out or "runtime-dir" in out


def test_doctor_answers_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each check has a state, and what is not well has a remedy."""
    code, out, _ = call("doctor", "--json", "--state-dir", str(tmp_path), "--runtime-dir", str(tmp_path), capsys=capsys)

    answer = json.loads(out)
    assert code == (0 if answer["ok"] else 1)
    assert {c["state"] for c in answer["checks"]} <= {"ok", "warn", "fail"}
    assert all(c["remedy"] for c in answer["checks"] if c["state"] != "ok")
    assert {"kernel", "BTF", "cgroup", "libbpf", "loader", "LLM", "disk", "database", "daemon"} <= {c["name"] for c in answer["checks"]}
    assert list(tmp_path.iterdir()) == []


_WORDS = st.sampled_from(
    ["--json", "--all", "--limit", "--id", "--active", "--before", "--program", "--", "-", "-1", "7", "0", "--help", "-h", "--jso"]
)


@given(
    st.sampled_from(["status", "list", "explain", "undo", "release", "pause", "resume", "top", ""]), st.lists(_WORDS | st.text(max_size=8))
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_any_words_end_with_a_documented_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, words: list[str]) -> None:
    """Whatever is typed, it is an answer or one of the documented codes, never a traceback."""
    places = ["--runtime-dir", str(tmp_path), *(["--state-dir", str(tmp_path / "no")] if name == "release" else [])]

    code, _, err = call(*([name] if name else []), *(places if name != "top" else []), *words, capsys=capsys)

    assert code in {0, 1, 2, 3, 4}
    assert "Traceback" not in err


def brainkernel(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command as a process of its own."""
    return subprocess.run([sys.executable, "-m", "brainkernel", *words], capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload, no-any-return]


def test_reader_that_leaves_early_causes_no_noise() -> None:
    """`brainkernel ... | head` ends quietly."""
    with subprocess.Popen(
        [sys.executable, "-m", "brainkernel", "completion", "zsh"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()

        assert process.stderr.read() == b""
    assert process.returncode == 0


@needs_root
def test_run_without_root_exits_3(tmp_path: Path) -> None:
    """An ordinary user is told in one line what needs root and what does not."""
    words = ["run", "--state-dir", f"{tmp_path}/s", "--runtime-dir", f"{tmp_path}/r"]
    modules = ["brainkernel.run", "brainkernel.cli.run", "brainkernel.cli.live_report", "brainkernel.host"]

    process = as_nobody(words, modules=modules)

    assert process.returncode == 3
    assert "run it as root" in process.stderr
    assert "Traceback" not in process.stderr


def test_help_loads_no_part_of_the_agent() -> None:
    """The overview comes at once: no database, no BPF, no LLM client is imported for it."""
    probe = "import sys; from brainkernel.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)

    loaded = process.stdout.splitlines()[-1].split()
    assert not {"sqlite3", "msgspec", "ctypes", "brainkernel.config", "brainkernel.composition", "groq", "ollama"} & set(loaded)


def test_module_and_script_are_the_same_command() -> None:
    """`python -m brainkernel` works where the script is not on PATH."""
    assert brainkernel("--version").stdout.startswith("brainkernel ")
