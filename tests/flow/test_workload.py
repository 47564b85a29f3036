"""A recorded workload through the whole pipeline: how little of it needs a language model."""

from __future__ import annotations

import gzip
import io
from collections import Counter
from pathlib import Path

from brainkernel import config
from brainkernel.model import Exec, Tier
from brainkernel.replaying import Replay
from brainkernel.sense.replay import ReplayLoader

# Made by `scripts/figures gate`: apt-get install of 30 packages, a C build of 500 files, a day of cron, on an empty baseline.
RECORDING = Path(__file__).parents[1] / "golden" / "workload.jsonl.gz"


def test_workload_ends_without_an_llm() -> None:
    """At least 99.9 % of the program starts end in the gate, or are known to rules or the local model."""
    ends: Counter[str] = Counter()
    with ReplayLoader(io.BytesIO(gzip.decompress(RECORDING.read_bytes())), all_events=True) as loader:
        replay = Replay(config.Config())
        while not loader.finished:
            for event, decision in replay.decisions(loader.drain()):
                if isinstance(event, Exec):
                    ends["gate" if decision is None else "llm" if decision.verdict.tier is Tier.NONE else "tiers"] += 1

    assert sum(ends.values()) > 3000
    assert ends["llm"] <= 0.001 * sum(ends.values())
    assert ends["gate"] > 0.9 * sum(ends.values())
