"""Screenshots of the dashboard with the data of a real run; see scripts/screenshots."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from support.agent_process import RunningAgent, running_agent
from support.chromium import Page, chromium
from support.real_model import NotFetchedError, fetched

if TYPE_CHECKING:
    from collections.abc import Iterator

INTO = Path(__file__).resolve().parents[2] / "docs/screenshots"
LISTEN = "127.0.0.1:9759"
VIEWS = ("performance", "resources", "quality", "trends", "feedback")
COLOURS = 48  # a page of text and lines has few; a third of the size
# What people and packages run, known and unknown, and one whose name is an attack on the page.
WORK = (
    "git -C / status", "find /usr/share/doc -name copyright -newer /etc/hostname", "tar -cf /dev/null /usr/share/doc/bash", "ls -lR /etc",
    "gzip -c /usr/share/common-licenses/GPL-3", "sort /usr/share/dict/words", "python3 -c 'print(1)'", "awk 'BEGIN{print 1}'", "perl -e 1",
)  # fmt: skip
SETTINGS = (
    f'[http]\nlisten = "{LISTEN}"\n[llm]\ndeadline_ms = 20000\nbatch_size = 1\ngroq_tokens_per_minute = 0\n[quality]\nmin_samples = 3\n'
)


def main() -> None:
    """Run everything."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 150.0
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="brainkernel-shots-")))
        (directory / "brainkernel.toml").write_text(SETTINGS)
        model = {"GROQ_API_KEY": "of-nobody", "GROQ_BASE_URL": stack.enter_context(a_model())}
        agent = stack.enter_context(running_agent(directory, "--config", str(directory / "brainkernel.toml"), environment=model))
        work(agent, directory, seconds)
        page = stack.enter_context(chromium(directory / "profile")).page()
        shoot(page, agent)


@contextlib.contextmanager
def a_model() -> Iterator[str]:
    """The tests' small model behind Groq's interface; an address where nothing answers if it cannot be had."""
    try:
        model = fetched()
    except NotFetchedError:
        yield "http://127.0.0.1:9"
        return
    with model.server() as url:
        # It is to answer in time also on a machine that does ten other things; a nice value is a thread's, and those are there already.
        for thread in (thread for child in psutil.Process().children() for thread in child.threads()):
            os.setpriority(os.PRIO_PROCESS, thread.id, -15)
        yield url


def work(agent: RunningAgent, directory: Path, seconds: float) -> None:
    """Give the agent something to see, and say some words about it."""
    odd = directory / "<img src=x onerror=alert(1)>"
    odd.write_text("#!/bin/sh\nsleep 0.1\n")
    odd.chmod(0o755)
    ends = time.monotonic() + seconds
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        for number, command in enumerate(itertools.cycle([*WORK, f"'{odd}' --name '<script>alert(1)</script>'"])):
            if time.monotonic() > ends:
                break
            # A copy is a program that nobody has seen yet.
            fresh = f"cp /bin/true {directory}/tool-{number} && {directory}/tool-{number}" if number % 7 == 0 else command
            subprocess.run(["sh", "-c", fresh], capture_output=True, check=False)
            time.sleep(0.25)
            if number % 12 == 11:  # noqa: PLR2004 # now and then
                say(agent, number)
            if time.monotonic() > ends - 0.6 * seconds:
                end(hogs)
    finally:
        end(hogs)


def say(agent: RunningAgent, number: int) -> None:
    """What a person says of decisions and strategies."""
    newest = listed(agent)
    word = "bad" if number % 36 == 35 else "good"  # noqa: PLR2004 # one of three
    agent.ask("feedback", str(newest[0]["id"]), word)
    if number in (35, 71):
        agent.ask("strategy", "conservative" if number < 70 else "auto")  # noqa: PLR2004 # there and back


def listed(agent: RunningAgent) -> list[dict[str, Any]]:
    """The latest decisions, newest first."""
    return [json.loads(line) for line in agent.ask("list", "--json", "--limit", "500").stdout.splitlines()]


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    """Stop what was started."""
    for process in processes:
        process.kill()
        process.wait()


def shoot(page: Page, agent: RunningAgent) -> None:
    """Take all of them."""
    INTO.mkdir(parents=True, exist_ok=True)
    newest = listed(agent)
    shown = next((d for d in newest if d["decision"] in ("limit", "leave")), newest[0])
    places = [*[(view, view, 1280, False) for view in VIEWS], ("decision", f"decision/{shown['id']}", 1280, True)]
    for name, place, width, dark in (*places, ("phone", "feedback", 390, True)):
        page.size(width, 900, dark=dark)
        page.open(f"http://{LISTEN}/#/{place}{'' if name == 'decision' else '?range=300'}")
        page.until("document.querySelectorAll('.card').length > 1 && !document.querySelector('main').textContent.includes('Loading')")
        time.sleep(5)  # two live events
        file = INTO / f"{name}.png"
        page.screenshot(file)
        subprocess.run(["pngquant", "--force", "--strip", "--speed", "1", f"--output={file}", str(COLOURS), str(file)], check=True)
        print(f"{file.stat().st_size // 1024:4} KiB  {file}")
    if page.problems:
        sys.exit("\n".join(page.problems))


if __name__ == "__main__":
    main()
