"""Print how the local model does on what training never saw, alone and after the rules."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import examples
from brainkernel.classify.knowledge import Knowledge
from brainkernel.classify.model import LocalModel, ModelTier
from brainkernel.classify.ruleset import SHIPPED_RULES, load
from brainkernel.classify.tiers import Judge, RulesTier, classify
from brainkernel.model import Category
from support.labelled import Figures, count

if TYPE_CHECKING:
    from collections.abc import Sequence

LABELLED = Path(__file__).parents[2] / "tests/golden/programs_labelled.jsonl"
USES = 3


def records() -> dict[str, list[tuple[dict[str, object], examples.Example]]]:
    """The sets by name: labelled by people, and invented uses of programs of packages that were held out."""
    knowledge = Knowledge()
    found: dict[str, list[tuple[dict[str, object], examples.Example]]] = {"labelled by people": []}
    found["labelled by people"] = [(r, e) for r, e in examples.labelled(LABELLED) if e.part == examples.HELD_OUT]
    own, foreign = [], []
    for path, package, category in examples.programs_of(knowledge):
        if examples.part_of(package.name) != examples.HELD_OUT:
            continue
        for example in examples.invented(path, package, category, USES):
            program = example.suspect.program
            record = {"id": path, "expected": category.value, "exe": program.exe, "argv": list(program.argv)}
            (own if knowledge.find(program.exe) is not None else foreign).append((record, example))
    found["invented uses, where the distribution puts them"] = own
    found["invented uses, where no rule knows them"] = foreign
    found["invented background work of vendors"] = [
        ({"id": e.suspect.program.exe, "expected": "bloatware", "exe": e.suspect.program.exe, "argv": list(e.suspect.program.argv)}, e)
        for e in examples.vendors_own()
        if e.part == examples.HELD_OUT
    ]
    return found


def figures_of(rows: list[tuple[dict[str, object], examples.Example]], tiers: Sequence[Judge]) -> Figures:
    """Judge one set."""
    figures = Figures()
    for record, example in rows:
        verdict = classify(example.suspect, tiers)
        figures.by_tier[verdict.tier] += 1
        count(figures, record, verdict)
    return figures


def main() -> None:
    """Print each set with each chain of tiers, then the time of the model tier."""
    rules = RulesTier(load((SHIPPED_RULES,)))
    model = ModelTier(LocalModel(), rules.ruleset.knowledge)
    sets = records()
    chains: dict[str, list[Judge]] = {"rules alone": [rules], "model alone": [model], "rules, then model": [rules, model]}
    for name, rows in sets.items():
        for chain, tiers in chains.items():
            figures = figures_of(rows, tiers)
            print(f"{name} ({len(rows)}), {chain}: {dict(figures.by_tier)}\n{figures}\n")
            for what in ("harmed", "false_alarms", *(("wrong",) if chain == "model alone" and name.startswith("labelled") else ())):
                for line in getattr(figures, what)[:10]:
                    print(f"  {what}: {line}")
    times = []
    for _, example in [row for rows in sets.values() for row in rows][:3000]:
        start = time.perf_counter_ns()
        model.judge(example.suspect)
        times.append((time.perf_counter_ns() - start) / 1000)
    print(f"model tier: median {statistics.median(times):.0f} us, p95 {statistics.quantiles(times, n=20)[-1]:.0f} us of {len(times)}")
    print(f"thresholds: { {c.value: t for c, t in LocalModel().description.thresholds.items() if c is not Category.UNKNOWN} }")


if __name__ == "__main__":
    main()
