"""What is written can be read, whatever a process called itself."""

from __future__ import annotations

import orjson
import pytest
from brainkernel.escape import _UNSAFE, escaped
from brainkernel.model import Action, Decision, Lesson, Outcome, Verdict
from brainkernel.store.codec import ARGV_TEXT_MAX, UnreadableError, bounded_argv, decode, encode, path_of, path_value, signed64, unsigned64
from hypothesis import given
from hypothesis import strategies as st
from support.any_noun import SAFE_TEXT, any_of, any_text


@pytest.mark.parametrize("noun", [Decision, Action, Outcome, Verdict, Lesson])
def test_codec_gives_back_what_it_took_when_text_is_plain(noun: type) -> None:
    """Every field of every noun that is kept survives, sets, enums and None among them."""

    @given(any_of(noun, SAFE_TEXT))
    def round_trip(value: object) -> None:
        assert decode(encode(value), noun) == value

    round_trip()


@given(any_of(Decision))
def test_codec_escapes_hostile_text_and_changes_nothing_else(decision: Decision) -> None:
    """What is read back is UTF-8 that is safe to show, with every figure as it was."""
    read = decode(encode(decision), Decision)

    assert read.suspect.program.argv == tuple(escaped(a) for a in decision.suspect.program.argv)
    assert (read.id, read.suspect.key, read.symptom is None, read.kind) == (
        decision.id,
        decision.suspect.key,
        decision.symptom is None,
        decision.kind,
    )
    orjson.dumps(orjson.loads(encode(read)))


@given(st.binary(max_size=200))
def test_codec_raises_its_own_error_for_bytes_that_are_no_decision(data: bytes) -> None:
    """A damaged row is told from a bug by its exception."""
    with pytest.raises(UnreadableError):
        decode(data, Decision)


@given(any_of(Decision, SAFE_TEXT), st.integers(0), st.integers(0, 255))
def test_codec_reads_a_damaged_decision_or_says_so(decision: Decision, at: int, byte: int) -> None:
    """One changed byte gives another decision or an UnreadableError, nothing else."""
    data = bytearray(encode(decision))
    data[at % len(data)] = byte

    try:
        read = decode(bytes(data), Decision)
    except UnreadableError:
        return

    assert isinstance(read, Decision)


@given(st.lists(st.text(max_size=3000), max_size=100))
def test_bounded_argv_keeps_the_first_arguments_within_the_bound(argv: list[str]) -> None:
    """Two megabytes of arguments do not become a row of two megabytes."""
    kept = bounded_argv(tuple(argv))

    assert sum(map(len, kept)) <= ARGV_TEXT_MAX + 40
    assert kept == tuple(argv) or (kept[:-1] == tuple(argv[: len(kept) - 1]) and "more arguments" in kept[-1])


@given(any_text)
def test_path_value_reads_back_exactly(path: str) -> None:
    """A path that is compared later keeps every byte."""
    assert path_of(path_value(path)) == path


@given(st.integers(0, (1 << 64) - 1))
def test_signed64_reads_back_and_fits_into_sqlite(number: int) -> None:
    """Inodes of overlayfs use the top bit, which SQLite's integers do not have."""
    assert -(1 << 63) <= signed64(number) < 1 << 63
    assert unsigned64(signed64(number)) == number


def test_no_unsafe_character_passes_as_printable() -> None:
    """Text that is printable is taken as it is: so none of what is escaped may be."""
    assert [hex(code) for code in range(0x110000) if _UNSAFE.match(chr(code)) and chr(code).isprintable()] == []
