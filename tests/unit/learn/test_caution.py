"""What was learned of limits: it objects, names why, and a damaged file is not taken for it."""

from __future__ import annotations

import math

import pytest
from brainkernel.errors import ConfigError
from brainkernel.learn.caution import PRIOR, RIGHT, TRAITS, WRONG, Caution, encoded, traits_of
from brainkernel.learn.softmax import Example, Softmax
from brainkernel.model import Suspect, Symptom, Verdict
from hypothesis import given
from support.any_noun import any_of
from support.nouns import a_suspect, a_symptom, a_verdict


def learned(exe: str, label: int, times: int = 60) -> Caution:
    model = Softmax(2, TRAITS)
    for _ in range(times):
        model.learn([Example(traits_of(a_suspect(exe), a_verdict(), a_symptom()), label, 1.0, PRIOR)])
    return Caution.of(encoded(model.changes()), "here")


def test_caution_objects_to_what_was_wrong_before() -> None:
    """With a sentence that completes "but it ..."."""
    objection = learned("/opt/app/render", WRONG).objection(a_suspect("/opt/app/render"), a_verdict(), a_symptom())

    assert objection is not None
    assert objection.rule == "learned"
    assert objection.reason.startswith("resembles what was limited wrongly before")


def test_caution_lets_pass_what_was_right_and_what_nobody_spoke_of() -> None:
    """Nothing learned is no objection, to anything."""
    assert learned("/opt/app/index", RIGHT).objection(a_suspect("/opt/app/index"), a_verdict(), a_symptom()) is None
    assert Caution().objection(a_suspect(), a_verdict(), a_symptom()) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 40,
        b'{"weights": {"1": [NaN, 0]}}',
        b'{"weights": {"1": [1e999, 0]}}',
        b'{"weights": {"1": [21, 0]}}',
        b'{"weights": {"4096": [1, 0]}}',
        b'{"weights": {"-1": [1, 0]}}',
        b'{"weights": {"1": [1]}}',
        b'{"weight": {}}',
        b'{"weights\xff": {}}',
        b"[" * 100_000,
    ],
)
def test_damaged_file_is_refused(data: bytes) -> None:
    """NaN, infinity, strangers and garbage: one sentence that names the file."""
    with pytest.raises(ConfigError, match="here: "):
        Caution.of(data, "here")


@pytest.mark.parametrize("weight", [math.nan, math.inf, -math.inf])
def test_weight_that_is_no_number_is_not_written(weight: float) -> None:
    """What diverged while it learned never becomes a version."""
    with pytest.raises(ValueError, match="trait 7"):
        encoded([(0, 7, weight)])


@given(any_of(Suspect), any_of(Verdict), any_of(Symptom))
def test_traits_are_numbers_whatever_a_program_is_called(suspect: Suspect, verdict: Verdict, symptom: Symptom) -> None:
    """Hostile names among them; each once."""
    traits = traits_of(suspect, verdict, symptom)

    assert all(0 <= trait < TRAITS for trait in traits)
    assert len(set(traits)) == len(traits) > 0
