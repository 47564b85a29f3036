"""The command behind scripts/soak."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from soak.growth import MIB, Sample, grown, sample_of
from soak.load import Load
from soak.past import DECISIONS_MAX, remember

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY_S = 86_400
SAMPLES = 30
# So few decisions that a short soak fills them: what is bounded is full before it is looked at.
CONFIG = f'[llm]\nbackend = "none"\n\n[store]\ndecisions_max = {DECISIONS_MAX}\n'
HEADING = "   day    RSS MiB  descriptors  threads  map entries  cached  disk MiB  programs started"


def soak(minutes: float, days: float, folder: Path) -> list[Sample]:
    """Live `days` in `minutes`; one line on stdout per sample."""
    (folder / "brainkernel.toml").write_text(CONFIG)
    for name in ("run", "programs"):
        (folder / name).mkdir()
    remember(folder / "state")
    print(HEADING, flush=True)
    samples = []
    with _agent(folder, speed=days * DAY_S / (minutes * 60)) as process, Load(folder / "programs") as load:
        for number in range(1, SAMPLES + 1):
            time.sleep(minutes * 60 / SAMPLES)
            if process.poll() is not None:
                sys.exit(f"the agent ended by itself with {process.returncode}")
            one = sample_of(process.pid, folder / "state")
            samples.append(one)
            print(
                f"{days * number / SAMPLES:6.2f} {one.resident_bytes / MIB:10.1f} {one.descriptors:12} {one.threads:8} "
                f"{one.map_entries:12} {one.cache_entries:7} {one.disk_bytes / MIB:9.1f} {load.started:17}",
                flush=True,
            )
    return samples


@contextmanager
def _agent(folder: Path, speed: float) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-m", "soak.agent", folder, str(speed)], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n", "the agent did not start"
        try:
            yield process
        finally:
            process.terminate()
    assert process.returncode == 0, f"the agent ended with {process.returncode}"


def main() -> int:
    """Soak; 1 if something grew."""
    parser = argparse.ArgumentParser(prog="soak", description="Live a week in ten minutes, and say what grew.")
    parser.add_argument("--minutes", type=float, default=10, help="of real time (default: %(default)s)")
    parser.add_argument("--days", type=float, default=7, help="of the agent's time (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="brainkernel-soak-", dir="/var/tmp") as folder:
        samples = soak(arguments.minutes, arguments.days, Path(folder))
    found = grown(samples)
    for name, (second, last) in found.items():
        print(f"{name} grew: {second:g} in the second third, {last:g} in the last")
    if not found:
        print("nothing grew")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
