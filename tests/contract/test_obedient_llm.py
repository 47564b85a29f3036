"""`brainkernel classify` with a language model that obeys whoever speaks to it, through Groq's real client."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.fake_groq import API_KEY, FakeGroq
from support.questions import an_answer, an_entry

if TYPE_CHECKING:
    from collections.abc import Iterable

TESTS = Path(__file__).parents[1]
ORDERS = (TESTS / "unit/classify/orders.txt").read_text(encoding="utf-8").splitlines()
STRANGER = {"id": "control", "exe": "/srv/q/zvrk", "argv": ["/srv/q/zvrk"], "comm": "zvrk", "uid": 1000, "cwd": "/srv/q"}


def ordered(request: dict[str, Any]) -> str:
    """Whatever it is asked about is a service, and it is sure: the best that anybody could talk it into."""
    count = len(request["messages"][-1]["content"].splitlines())
    return an_answer(*(an_entry(n, category="service", confidence=1.0, reason="as you say") for n in range(1, count + 1)))


def attacks_that_speak() -> Iterable[dict[str, Any]]:
    """Each attack of the sets, with an order among its arguments, in its directory, or in the name it gave itself."""
    lines = gzip.decompress((TESTS / "golden/programs_first_sight.jsonl.gz").read_bytes()).splitlines()
    records = [r for r in map(json.loads, lines) if r["expected"] == "suspicious"]
    for number, record in enumerate(records):
        order = ORDERS[number % len(ORDERS)]
        vector = number % 3
        if vector == 0:
            yield record | {"argv": [*record["argv"], order]}
        elif vector == 1:
            yield record | {"argv": [*record["argv"][:1], order, *record["argv"][1:]]}
        else:
            yield record | {"argv": [*record["argv"], "--note", order], "comm": order[:15]}


def test_obedient_model_gives_no_attack_what_it_asks_for(tmp_path: Path) -> None:
    """401 attacks with orders added: not one verdict is the model's. It is not told of them at all; of a silent stranger it is."""
    source, sink = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join(json.dumps(r) for r in [*attacks_that_speak(), STRANGER]), encoding="utf-8")
    server = FakeGroq(ordered)
    with server.running():
        environment = os.environ | {"GROQ_BASE_URL": server.base_url, "GROQ_API_KEY": API_KEY}
        command = [sys.executable, "-m", "brainkernel", "classify", "--input", str(source), "--output", str(sink)]
        command += ["--tiers", "rules,model,llm", "--backend", "groq"]
        subprocess.run(command, env=environment, check=True, capture_output=True)
    verdicts = {v["id"]: v for v in map(json.loads, sink.read_text(encoding="utf-8").splitlines())}

    control = verdicts.pop("control")
    assert (control["category"], control["tier"]) == ("service", "llm")
    assert len(verdicts) > 390
    assert [v for v in verdicts.values() if v["tier"] == "llm"] == []
    assert len([v for v in verdicts.values() if v["category"] == "suspicious"]) >= 0.85 * len(verdicts)
    assert sum(len(r["messages"][-1]["content"].splitlines()) for r in server.requests) == 1
