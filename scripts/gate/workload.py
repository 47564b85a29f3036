"""Records a workload through `brainkernel record`: 30 packages installed by apt, a C build of 500 files, a day of cron.

The jobs of cron are run one after the other, then given the times of their schedule and cron for a parent: a day takes a day
otherwise. Only what descends from this script is kept, so that the recording is the same whatever else the host does.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WANTED = 30
PACKAGES = (  # more than that: some may be there already
    "hello figlet cowsay sl tree bc dc jq ncdu pv moreutils toilet lolcat fortune-mod fortunes-min cmatrix sysvbanner beep dos2unix unrar-free "
    "patchutils colordiff wdiff most par rlwrap recode uni2ascii units ascii ent hexedit pwgen qrencode ncal rename"
).split()
FILES = 500
DAY_NS = 86_400 * 10**9
MINUTE_NS = 60 * 10**9
SETTLE_S = 1.0  # for the last events to be read
CRON = "/usr/sbin/cron"
# Debian's own jobs, and what administrators add: the command line, and how many minutes lie between two runs.
JOBS = (
    ("command -v debian-sa1 > /dev/null && debian-sa1 1 1", 10),
    ("[ -x /usr/lib/php/sessionclean ] && if [ ! -d /run/systemd/system ]; then /usr/lib/php/sessionclean; fi", 30),
    ("cd / && run-parts --report /etc/cron.hourly", 60),
    ("test -x /usr/sbin/anacron || ( cd / && run-parts --test --report /etc/cron.daily )", 1440),
    ("find /var/tmp -xdev -type f -mtime +30 -print > /dev/null", 360),
    ("tar -czf /dev/null /etc/default 2> /dev/null", 720),
    ("df -P / | awk 'NR == 2 && $5 + 0 > 90 { print }'", 5),
    ("date +%s > /dev/null && ls /var/spool > /dev/null", 15),
)


def main() -> None:
    """Record the three parts and write them as one recording."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    with tempfile.TemporaryDirectory(prefix="brainkernel-workload-") as scratch:
        parts = [recorded(run, Path(scratch)) for run in (install_packages, build_files)]
        parts.append(list(over_a_day(recorded(run_jobs, Path(scratch)))))
    start_ns = min((e["time_ns"] for e in parts[0]), default=0)
    with output.open("w", encoding="utf-8") as file:
        for part in parts:
            first_ns = min((e["time_ns"] for e in part), default=0)
            for event in part:
                event["time_ns"] += start_ns - first_ns
                file.write(json.dumps(event) + "\n")
            start_ns = max((e["time_ns"] for e in part), default=start_ns) + MINUTE_NS


def recorded(run: Callable[[Path], None], scratch: Path) -> list[dict[str, Any]]:
    """What `run` and its descendants started, in the order in which it happened."""
    file = scratch / f"{run.__name__}.jsonl"
    command = [sys.executable, "-m", "brainkernel", "record", "--output", "-"]
    with file.open("wb") as out, subprocess.Popen(command, stdout=out) as recorder:
        while recorder.poll() is None and not file.stat().st_size:
            subprocess.run(["/bin/true"], check=True)  # until a start is seen
            time.sleep(0.1)
        with multiprocessing.get_context("fork").Pool(1) as pool:
            child = pool.apply(os.getpid)
            pool.apply(run, (scratch,))
        time.sleep(SETTLE_S)
        recorder.terminate()
    events = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return list(descendants(events, child))


def descendants(events: list[dict[str, Any]], root: int) -> Iterator[dict[str, Any]]:
    """The events of the processes below `root`. A recording is in order, and a child begins after its parent."""
    ours = {root}
    for event in sorted(events, key=lambda e: e["time_ns"]):
        if event["kind"] != "exit" and event.get("ppid") in ours:
            ours.add(event["tgid"])
        if event["tgid"] in ours and event["tgid"] != root:
            yield event


def over_a_day(events: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Spread the runs of the jobs over the day by their schedule, and let cron have started them."""
    began = min((e["time_ns"] for e in events), default=0)
    runs = sorted(minute for _, every in JOBS for minute in range(0, 1440, every))
    number, shift_ns = -1, 0
    for event in events:
        if event["kind"] == "exec" and event.get("argv", [])[:2] == ["/bin/sh", "-c"] and "python" in event.get("parent_exe", ""):
            number += 1
            shift_ns = began + runs[min(number, len(runs) - 1)] * MINUTE_NS - event["time_ns"]
            event["parent_exe"] = CRON
        yield event | {"time_ns": event["time_ns"] + shift_ns}


def install_packages(_scratch: Path) -> None:
    """Install 30 that are not there yet, and remove them again (not recorded as part of the work would be cheating: it is kept)."""
    missing = [p for p in PACKAGES if subprocess.run(["dpkg", "-s", p], capture_output=True, check=False).returncode][:WANTED]
    if len(missing) < WANTED:
        sys.exit(f"only {len(missing)} of these packages are not installed yet: name others in PACKAGES")
    options = ["-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "install", *options, *missing], stdout=subprocess.DEVNULL, env=environment, check=True)
    subprocess.run(["apt-get", "purge", *options, *missing], stdout=subprocess.DEVNULL, env=environment, check=True)


def build_files(scratch: Path) -> None:
    """Compile 500 files of C and link them, with make and gcc."""
    for number in range(FILES):
        (scratch / f"f{number}.c").write_text(f"int f{number}(int x) {{ return x + {number}; }}\n")
    (scratch / "main.c").write_text("int main(void) { return 0; }\n")
    (scratch / "Makefile").write_text("objects := $(patsubst %.c,%.o,$(wildcard *.c))\napp: $(objects)\n\tgcc -o $@ $^\n")
    subprocess.run(["make", "-s", "-j4", "-C", str(scratch), "app"], check=True)


def run_jobs(_scratch: Path) -> None:
    """Run each job as often as a day has it, in the order of the day, as cron runs them: through /bin/sh."""
    day = sorted((minute, number) for number, (_, every) in enumerate(JOBS) for minute in range(0, 1440, every))
    for _, number in day:
        subprocess.run(["/bin/sh", "-c", JOBS[number][0]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", check=False)


if __name__ == "__main__":
    main()
