"""Redaction over the corpus beside this file, and over whatever hypothesis thinks of."""

from __future__ import annotations

import io
import json
import re
import shlex
from pathlib import Path

import pytest
from brainkernel.classify.redact import ARGS_MAX, TOTAL_CHARS, redact_file, redacted_argv, redacted_path
from brainkernel.classify.redact_programs import _table
from brainkernel.errors import UsageError
from hypothesis import given
from hypothesis import strategies as st

CORPUS = Path(__file__).parent / "redact_corpus"
MARKED = re.compile("«(.*?)»")
PASSWORDS = (
    "Sommer2024!au5",
    "pa55w0rd=kNk6s",
    "hunter2-g1QlR",
    "q7#3iL@%pAnLd",
    "fünf-Äpfel-ZcX",
    "fake:Fl44:N5TrT",
    "correcthorsebattery",
    "x/y+z/9Ab==",
)
# A bare name after "tar -C /home" looks like any file name, and a user with a password of plain letters like a user with a group.
# "password: changed" is what a message says.
KNOWN_MISSES = {
    "tar cf /srv/x.tar -C /home «uwe.schulz»",
    "app --user=bob:{P}",
    'hcloud server create --name x --user-data "password: {P}"',
}


def _lines(pattern: str) -> list[str]:
    files = sorted(CORPUS.glob(pattern))
    assert files
    return [line for f in files for line in f.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("line", [line for line in _lines("*forms.txt") if line not in KNOWN_MISSES])
def test_redacted_argv_lets_no_secret_of_the_corpus_leave(line: str) -> None:
    """Neither a password of any make nor a token stays in the command line, and it keeps its length."""
    for password in PASSWORDS if "{P}" in line else ("",):
        marked = [word.replace("{P}", f"«{password}»") for word in shlex.split(line)]
        argv = tuple(MARKED.sub(r"\1", word) for word in marked)

        shown = redacted_argv(argv)

        secrets = {s for word in marked for s in MARKED.findall(word)}
        assert not [s for s in secrets for word in shown if s in word]
        assert len(shown) == len(argv)
        assert [o for o, m in zip(shown, marked, strict=True) if o == m] or len(argv) == 1


@pytest.mark.parametrize("line", _lines("*lookalikes.txt"))
def test_redacted_argv_leaves_lookalikes_unchanged(line: str) -> None:
    """Hashes, ids, ports, paths, references and names of secrets are what a verdict needs; they stay."""
    argv = tuple(shlex.split(line))

    assert redacted_argv(argv) == argv


def test_redacted_argv_keeps_everything_around_the_secret() -> None:
    """Only the value is replaced: program, options and the rest of the argument stay."""
    argv = ("helm", "install", "web", "--set", "auth.password=q7#3iL@%pAnLd,replicas=3", "--set", "image.tag=1.2.3")

    shown = redacted_argv(argv)

    assert shown == ("helm", "install", "web", "--set", "auth.password=<redacted>,replicas=3", "--set", "image.tag=1.2.3")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/anna.schmidt/.config", "/home/<user>/.config"),
        ("/home", "/home"),
        ("/home/", "/home/"),
        ("/home/gitlab-runner/builds", "/home/gitlab-runner/builds"),
        ("/home/bob (deleted)", "/home/<user> (deleted)"),
        ("/usr/bin/curl", "/usr/bin/curl"),
        ("/run/media/bob/USB/x", "/run/media/<user>/USB/x"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice", "/user.slice/user-1000.slice/user@1000.service/app.slice"),
    ],
)
def test_redacted_path_replaces_home_names_only(text: str, shown: str) -> None:
    """A path tells what runs, not whose it is."""
    assert redacted_path(text) == shown


def test_redacted_argv_knows_names_from_elsewhere() -> None:
    """The name in the working directory is the same person in the command line."""
    assert redacted_argv(("finger", "anna.schmidt"), names=frozenset({"anna.schmidt"})) == ("finger", "<user>")


def test_redacted_argv_is_stable() -> None:
    """What was redacted once is not redacted differently the second time: `redact` shows what `prompt` sends."""
    for line in _lines("forms.txt"):
        once = redacted_argv(tuple(shlex.split(MARKED.sub(r"\1", line.replace("{P}", "hunter2-g1QlR")))))

        assert redacted_argv(once) == once


@given(st.lists(st.text(max_size=200), max_size=12))
def test_redacted_argv_takes_any_strings(argv: list[str]) -> None:
    """Nothing a process can put into its arguments raises, and no argument gets lost."""
    assert len(redacted_argv(argv)) == len(argv)


@given(st.text(alphabet="pPasswordtoken=:'\"\\ ;|&$(){}<>@/-,%3dA\n", max_size=400))
def test_redacted_argv_takes_any_shell_text(text: str) -> None:
    """Unbalanced quotes, operators and half secrets are text like any other."""
    assert len(redacted_argv(("sh", "-c", text))) == 3


@pytest.mark.parametrize("form", ["{}", "{}=", "{}=x", "{}x", "{} x", "{} {}=x", "{}:x", "-{}", "x {} x={}", "{}=x:y@z"])
def test_redacted_argv_takes_every_option_in_any_form(form: str) -> None:
    """What we know of a program is met in forms that nobody thought of: none may raise, the daemon's loop asks."""
    for program, conventions in _table().items():
        for clause in conventions.clauses.values():
            for argument, bound_to in clause.items():
                argv = (program, *bound_to.split("@"), *form.replace("{}", argument).split(" "))
                assert len(redacted_argv(argv)) == len(argv)


def test_redacted_argv_bounds_a_huge_command_line_and_keeps_both_ends() -> None:
    """2 MB of filling cannot push the truth out at the end, and the cut is visible."""
    argv = ("run", *(["x" * 100] * 20_000), "--mine")

    shown = redacted_argv(argv)

    assert sum(map(len, shown)) <= TOTAL_CHARS + 200
    assert len(shown) <= ARGS_MAX + 1
    assert shown[0] == "run"
    assert shown[-1] == "--mine"
    assert any("arguments)" in word for word in shown)


def test_redacted_argv_shows_no_half_of_a_secret_at_the_cut() -> None:
    """A value whose option fell into the gap goes with it."""
    filling = ["y" * 50] * 3000
    for shift in range(4):
        argv = ("app", *filling[: 2046 - shift], *(["--password", "hunter2secret"] * 4), *filling)

        assert "hunter2secret" not in " ".join(redacted_argv(argv))


def test_redact_file_streams_records_and_keeps_ids() -> None:
    """One line in, one line out, whatever else the record holds."""
    source = io.StringIO('{"id": 7, "argv": ["mysql", "-pS3cret"], "uid": 0}\n\n{"id": "b", "argv": []}\n')
    sink = io.StringIO()

    count = redact_file(source, sink)

    assert count == 2
    assert [json.loads(line) for line in sink.getvalue().splitlines()] == [
        {"id": 7, "argv": ["mysql", "-p<redacted>"]},
        {"id": "b", "argv": []},
    ]


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"id": 1}', '{"argv": []}', '{"id": 1, "argv": [1]}', '{"id": 1, "argv": "ls"}', "[" * 100_000]
)
def test_redact_file_names_the_line_that_is_wrong(line: str) -> None:
    """A broken record is a usage error with its line number, after the good ones were written."""
    sink = io.StringIO()

    with pytest.raises(UsageError, match=r"^line 2: "):
        redact_file(['{"id": 1, "argv": ["ls"]}\n', line], sink)

    assert sink.getvalue() == '{"id": 1, "argv": ["ls"]}\n'
