"""Command lines taken apart."""

from __future__ import annotations

import shlex

import pytest
from brainkernel.classify.commands import parse, split_shell
from hypothesis import given
from hypothesis import strategies as st


def names(command_line: str) -> list[str]:
    """The names of all commands, outermost first."""
    return [c.name for c in parse(tuple(shlex.split(command_line))).commands]


@pytest.mark.parametrize(
    ("command_line", "expected"),
    [
        ("ls -l", ["ls"]),
        ("sudo -u postgres psql -l", ["sudo", "psql"]),
        ("nice -n 10 ionice -c3 tar cf a b", ["nice", "ionice", "tar"]),
        ("env A=1 timeout -k 5 30 make -j4", ["env", "timeout", "make"]),
        ("sh -c 'cd /src && make; id | wc'", ["sh", "cd", "make", "id", "wc"]),
        ("bash -lc 'echo $(whoami)'", ["bash", "echo", "whoami", "whoami"]),
        ("find . -name x -exec rm {} ;", ["find", "rm"]),
        ("busybox nc 203.0.113.5 80", ["busybox", "nc"]),
        ("su -c 'systemctl stop x' root", ["su", "sh", "systemctl"]),
        ("bash -e /srv/job.sh now", ["bash", "job"]),
    ],
)
def test_what_a_command_line_runs_is_found(command_line: str, expected: list[str]) -> None:
    """Wrappers, shells and find are seen through."""
    assert names(command_line) == expected


@pytest.mark.parametrize(
    ("command_line", "script", "module", "code"),
    [
        ("python3 -W ignore -u /usr/bin/foo -c x", "/usr/bin/foo", "", ""),
        ("python3 -c 'print(1)' /usr/bin/firewalld", "", "", "print(1)"),
        ("python3 -m http.server 80", "", "http.server", ""),
        ("perl -w -ne 'print' /etc/passwd", "", "", "print"),
        ("node --require x app.js", "app.js", "", ""),
        ("java -Xmx1g -jar /opt/a.jar", "/opt/a.jar", "", ""),
        ("java -cp a.jar org.Main", "", "org.Main", ""),
        ("sh -e /usr/bin/valgrind prog", "/usr/bin/valgrind", "", ""),
        ("bash -c 'id' /usr/sbin/sshd", "", "", "id"),
    ],
)
def test_interpreter_is_judged_by_what_it_runs(command_line: str, script: str, module: str, code: str) -> None:
    """A path behind inline code is an argument, not the script."""
    line = parse(tuple(shlex.split(command_line)))

    assert (line.script, line.module, line.code) == (script, module, code)


def test_exe_names_the_program_and_not_what_it_calls_itself() -> None:
    """argv[0] adds a name to judge, it never takes one away."""
    line = parse(("[kworker/0:1]", "-e", "/bin/sh"), "/usr/bin/nc.traditional")

    assert line.commands[0].name == "nc"


def test_redirection_does_not_end_a_command() -> None:
    """`2>&1` and `&>` contain an ampersand that puts nothing into the background."""
    assert split_shell("a 2>&1 | b &> c & d") == [["a", "2>&1"], ["b", "&>", "c"], ["d"]]


@given(st.lists(st.text(max_size=80), max_size=12), st.text(max_size=40))
def test_any_command_line_can_be_read(argv: list[str], exe: str) -> None:
    """Hostile text is read as far as it goes, within bounds, and raises nothing."""
    line = parse(tuple(argv), exe)

    assert len(line.commands) <= 48


@given(st.text(alphabet="abc $()`'\"\\|&;<>\n{}", max_size=200))
def test_any_shell_text_can_be_cut(text: str) -> None:
    """Unbalanced quotes and brackets are read as far as they go."""
    assert all(words for words in split_shell(text))


def test_deep_nesting_is_bounded() -> None:
    """A command line made of wrappers around wrappers ends."""
    assert len(parse(("nice",) * 500 + ("id",)).commands) < 48


def test_text_of_a_command_is_bounded_and_its_blanks_folded() -> None:
    """Every pattern is asked of all of it: a line made to be slow must not hold the daemon up, nor hide its end."""
    line = parse(("sh", "-c", " " * 50_000 + "x" * 50_000 + "; id"))

    assert all(len(c.text) < 10_000 for c in line.commands)
    assert line.commands[-1].name == "id"
