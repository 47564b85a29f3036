from __future__ import annotations

import io
import select

import pytest
from brainkernel.errors import UsageError
from brainkernel.model import Exec
from brainkernel.sense.replay import ReplayLoader


def a_recording(*lines: str) -> io.BytesIO:
    return io.BytesIO("".join(f"{line}\n" for line in lines).encode())


def test_replay_drains_in_order_and_says_when_it_is_finished() -> None:
    """The descriptor is readable while there is more, so a loop needs to know nothing of files."""
    recording = a_recording(*(f'{{"kind":"exec","tgid":{i},"exe":"/bin/{i}"}}' for i in range(1, 6)))

    with ReplayLoader(recording) as loader:
        readable = bool(select.select([loader], [], [], 0)[0])
        first = loader.drain(limit=3)
        rest = loader.drain(limit=3)
        still_readable = bool(select.select([loader], [], [], 0)[0])
        finished = loader.finished
        nothing = loader.drain()
        counters = loader.counters()

    assert [e.key.tgid for e in first if isinstance(e, Exec)] == [1, 2, 3]
    assert [e.key.tgid for e in rest if isinstance(e, Exec)] == [4, 5]
    assert (readable, still_readable, finished, nothing) == (True, False, True, [])
    assert counters.received["exec"] == 5
    assert counters.mismatches() == []
    assert not recording.closed  # stdin is not ours to close


def test_replay_reads_on_where_a_recording_grows() -> None:
    """A recording may be replayed while it is written."""
    recording = a_recording('{"kind":"exec","tgid":1}')
    with ReplayLoader(recording) as loader:
        loader.drain()
        end = recording.tell()
        recording.write(b'{"kind":"exec","tgid":2}\n')
        recording.seek(end)

        assert [e.key.tgid for e in loader.drain() if isinstance(e, Exec)] == [2]


def test_replay_of_a_bad_line_names_it() -> None:
    """What came before it was given already."""
    with ReplayLoader(a_recording('{"kind":"exec","tgid":1}', "", "{")) as loader:
        before = loader.drain(limit=2)
        with pytest.raises(UsageError, match=r"^-:3: not JSON"):
            loader.drain(limit=2)

    assert len(before) == 1
