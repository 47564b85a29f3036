"""Reading Retry-After, which comes as a number, a fraction or a date, or as anything else."""

from __future__ import annotations

import pytest
from brainkernel.gateway.llm.exchange import retry_after_of
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("2", 2.0),
        ("7.66", 7.66),
        ("0", 0.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("-1", None),
        ("nan", None),
        ("1e9", None),
        ("", None),
        ("soon", None),
    ],
)
def test_retry_after_is_seconds_or_nothing(header: str, seconds: float | None) -> None:
    """A time that is past, absurd or unreadable is no time."""
    assert retry_after_of(header, now_s=10.0) == seconds


@given(st.text())
def test_retry_after_never_raises(header: str) -> None:
    """A header is whatever a server writes."""
    seconds = retry_after_of(header, now_s=10.0)

    assert seconds is None or 0 <= seconds <= 86_400
