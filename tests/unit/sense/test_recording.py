from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from brainkernel.errors import UsageError
from brainkernel.model import Ancestor, Exec, Exit, FileId, Fork, Mark, ProcessKey, Suppressed
from brainkernel.sense.recording import EventReader, line_of
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from brainkernel.model import ProcessEvent


def read_events(lines: Iterable[str], name: str = "-") -> list[ProcessEvent]:
    reader = EventReader(name)
    return [event for line in lines if (event := reader.event_of(line)) is not None]


# What os.fsdecode can give: any text, bytes that are not UTF-8 as lone surrogates.
OS_TEXT = st.binary(max_size=30).map(lambda b: b.decode("utf-8", "surrogateescape"))
TICKS = st.integers(0, 10**9).map(lambda n: n * 10_000_000)


KEYS = st.builds(ProcessKey, st.integers(1, 2**22), TICKS)
FILES = st.builds(FileId, st.integers(0, 2**32 - 1), st.integers(1, 2**64 - 1), st.integers(0, 2**63))
# The path of a replayed program is looked at once more, so these marks depend on it.
SHOWN_BY_PATH = {Mark.MEMFD, Mark.WORLD_WRITABLE_DIR, Mark.HIDDEN_DIR}
EXECS = st.builds(
    Exec,
    time_ns=TICKS,
    key=KEYS,
    exe=OS_TEXT,
    argv=st.lists(OS_TEXT, max_size=5).map(tuple),
    cwd=OS_TEXT,
    cgroup=OS_TEXT,
    parent_exe=OS_TEXT,
    uid=st.integers(0, 2**32 - 1),
    filename=OS_TEXT,
    comm=OS_TEXT.filter(bool),
    euid=st.integers(0, 2**32 - 1),
    cgroup_id=st.integers(0, 2**64 - 1),
    tty=st.integers(0, 2**32),
    loginuid=st.none() | st.integers(0, 2**32 - 1),
    sessionid=st.none() | st.integers(0, 2**32 - 1),
    file=st.none() | FILES,
    parent_file=st.none() | FILES,
    ancestors=st.lists(st.builds(Ancestor, KEYS, OS_TEXT, st.none() | FILES, OS_TEXT), max_size=3).map(tuple),
    marks=st.frozensets(st.sampled_from(sorted(set(Mark) - SHOWN_BY_PATH, key=lambda mark: mark.value))),
)


@given(EXECS)
def test_exec_comes_back_from_its_line(event: Exec) -> None:
    """Every field that a recording has survives, whatever bytes are in it, on one line of ASCII."""
    line = line_of(event)
    assert line is not None
    (back,) = read_events([line])

    assert line.isascii()
    assert "\n" not in line
    assert isinstance(back, Exec)
    parent = event.ancestors[0].key if event.ancestors else None
    assert replace(back, marks=back.marks - SHOWN_BY_PATH) == replace(event, parent=parent)


def test_exit_and_fork_come_back_from_their_lines() -> None:
    """The short kinds, with the parent's start taken from its own line."""
    parent, child = ProcessKey(5, 10_000_000), ProcessKey(6, 20_000_000)
    shell = Exec(time_ns=1, key=parent, exe="/bin/sh")
    fork = Fork(time_ns=2, key=child, parent=parent)
    exit_ = Exit(time_ns=3, key=child, exit_code=9, cpu_ns=4, run_delay_ns=5, max_rss_bytes=6)

    lines = [line_of(shell), line_of(fork), line_of(exit_)]

    assert list(read_events(line for line in lines if line))[1:] == [fork, exit_]


def test_notice_of_suppression_is_not_recorded() -> None:
    """A recording has the three kinds that other programs know."""
    assert line_of(Suppressed(time_ns=1, cgroup_id=2, count=3)) is None


def test_missing_fields_take_what_an_earlier_line_said() -> None:
    """A recording made by hand needs little more than exe."""
    lines = [
        '{"kind":"exec","tgid":7,"time_ns":50000000,"exe":"/tmp/.x/miner"}',
        "",
        '{"kind":"exit","tgid":7}',
        '{"kind":"exec","exe":"a","unknown":1}',
    ]

    start, end, bare = read_events(lines)

    assert isinstance(start, Exec)
    assert start.marks == {Mark.HIDDEN_DIR, Mark.WORLD_WRITABLE_DIR}
    assert start.comm == "miner"
    assert end == Exit(time_ns=50_000_000, key=start.key)
    assert bare.time_ns == 50_000_000


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ("[" * 100_000, "not JSON"),
        ('{"kind":"open"}', "kind: must be exec, exit or fork, not 'open'"),
        ("{}", "kind: must be exec, exit or fork, not None"),
        ('{"kind":["exec"]}', "kind: must be"),
        ('{"kind":"exec","tgid":"7"}', "tgid: must be a whole number"),
        ('{"kind":"exec","tgid":true}', "tgid: must be a whole number"),
        ('{"kind":"exec","tgid":-1}', "tgid: must be a whole number"),
        ('{"kind":"exec","time_ns":1e15}', "time_ns: must be a whole number"),
        ('{"kind":"exec","uid":4294967296}', "uid: must be a whole number"),
        ('{"kind":"exec","marks":["odd"]}', "marks: there is no 'odd', only argv0_mismatch,"),
        ('{"kind":"exec","marks":[["memfd"]]}', "marks: must be a list"),
        ('{"kind":"exec","file":7}', "file: must be an object"),
        ('{"kind":"exec","file":{"ino":"7"}}', "ino: must be a whole number"),
        ('{"kind":"exec","ancestors":[7]}', "ancestors: must be a list of objects"),
        ('{"kind":"exec","ancestors":[{"exe":7}]}', "exe: must be a string"),
        ('{"kind":"exit","cpu_ns":-1}', "cpu_ns: must be a whole number"),
        ('{"kind":"exit","exit_code":"9"}', "exit_code: must be a whole number"),
        ('{"kind":"exec","exe":7}', "exe: must be a string"),
        ('{"kind":"exec","argv":"ls -l"}', "argv: must be a list of strings"),
        ('{"kind":"exec","argv":["ls",7]}', "argv: must be a list of strings"),
        ('{"kind":"exec","tgid":' + "9" * 5000 + "}", "2: "),
    ],
)
def test_bad_line_is_named_with_file_line_and_key(line: str, complaint: str) -> None:
    """The person who wrote the recording is told where to look."""
    with pytest.raises(UsageError, match=r"^f\.jsonl:2: ") as raised:
        list(read_events(['{"kind":"exec"}', line], "f.jsonl"))

    assert complaint in str(raised.value)
    assert len(str(raised.value)) < 500


@given(st.text(max_size=200))
def test_any_text_is_an_event_or_a_named_error(line: str) -> None:
    """Hostile recordings do not end in a traceback."""
    try:
        list(read_events([line], "f"))
    except UsageError as error:
        assert str(error).startswith("f:1: ")  # noqa: PT017 # an event is as good
