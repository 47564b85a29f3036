"""Which time is the language model's own, and which was spent waiting for it."""

from __future__ import annotations

import pytest
from brainkernel.asking import _Batch, _timed, _Waiting
from brainkernel.link.messages import Usage
from support.nouns import a_suspect

MS = 1_000_000


@pytest.mark.parametrize(
    ("claimed_ms", "queue_ms", "llm_ms"),
    [(300, 720, 300), (None, 20, 1000), (5000, 20, 1000), (0, 1020, 0)],
    ids=["its word", "no word", "more than passed", "nothing"],
)
def test_inference_is_what_the_gateway_says_of_it_within_what_passed(claimed_ms: int | None, queue_ms: float, llm_ms: float) -> None:
    """20 ms of waiting for company and 1000 ms until the answer: retries and the gateway's queue are no inference."""
    waiting = _Waiting(a_suspect(), since_ns=0)
    usage = None if claimed_ms is None else Usage("groq", "llama", claimed_ms * MS)

    timed = _timed(waiting, _Batch((waiting,), sent_ns=20 * MS), 1020 * MS, usage)

    assert [(span.stage, span.ns / MS) for span in timed.spans] == [("llm_queue", queue_ms), ("llm", llm_ms)]
