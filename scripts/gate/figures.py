"""How many program starts of a recording end without an LLM, and where: `brainkernel replay` counted."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter

TARGET = 0.999


def main() -> int:
    """Print the figures; 0 if the target is reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording")
    recording = parser.parse_args().recording
    command = [sys.executable, "-m", "brainkernel", "replay", "--input", recording, "--json"]
    counts: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as replay:
        for line in replay.stdout or ():
            start = json.loads(line)
            end = (
                "known to the gate" if not start["suspect"] else f"said by {start['tier']}" if start["tier"] != "none" else "left to an LLM"
            )
            counts[end] += 1
            if end == "left to an LLM":
                asked[f"{start['exe']} by {start['parent_exe'] or '?'}"] += 1
    starts = sum(counts.values())
    share = 1 - counts["left to an LLM"] / max(1, starts)
    print(f"{starts} program starts; without an LLM: {100 * share:.2f} % (target {100 * TARGET:g} %)")
    for end, count in counts.most_common():
        print(f"  {end}: {count}")
    for what, count in asked.most_common(20):
        print(f"    {count} x {what}")
    return 0 if starts and share >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
