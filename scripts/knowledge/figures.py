"""Print the figures of labelled records, judged by rules and shipped knowledge."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

from brainkernel.classify.ruleset import SHIPPED_RULES, load
from brainkernel.classify.tiers import RulesTier
from support.labelled import figures_of


def main() -> None:
    """Judge each file that is named."""
    tiers = [RulesTier(load((SHIPPED_RULES,)))]
    for name in sys.argv[1:]:
        data = Path(name).read_bytes()
        lines = (gzip.decompress(data) if name.endswith(".gz") else data).splitlines()
        figures = figures_of(lines, tiers)
        print(f"{name}\n{figures}")
        for what in ("wrong", "harmed", "missed", "false_alarms"):
            for line in getattr(figures, what):
                print(f"  {what}: {line}")


if __name__ == "__main__":
    main()
