"""The agent as a package: installed by dpkg, run by systemd, and gone again without a trace."""

from __future__ import annotations

import json
import re
import shutil
import site
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vm.inside.agent import CONFIG, CONFIG_DIR, QUOTA_PCT, RULES, STATE_DIR
from vm.inside.systemd import property_of
from vm.inside.units import HOG, a_victim
from vm.inside.waiting import output_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vm.inside.hogs import Hog

PACKAGE = "brainkernel-agent"
DAEMON, GATEWAY = "brainkernel.service", "brainkernel-gateway.service"
COMMAND = "/usr/bin/brainkernel"
CONFIG_FILE = CONFIG_DIR / "brainkernel.toml"
LOCAL_CONFIG = CONFIG_DIR / "conf.d" / "50-local.toml"
TEST_RULES = CONFIG_DIR / "rules.d" / "test.yaml"
METRICS_URL = "http://127.0.0.1:9750/metrics"
START_S = 180.0  # under emulation, beside others
LIMITED_WITHIN_S = 240.0  # what was judged while observing is judged again after half a minute, not at the reload
# The effect is measured over the window after: a victim that ends within it, or waits for dpkg then, was not helped, and who was
# limited in vain is left alone for an hour. Asking for it meanwhile takes the CPU whose waiting is measured.
MEASURED_WITHIN_S = 6.0
_FOLDER = Path("/payload/deb")
# What lets the other tests run the checkout: it must not help the package.
_CHECKOUT = (Path(site.getsitepackages()[0], "payload.pth"), Path("/usr/local/bin/brainkernel"))


def the_deb() -> Path:
    """The package that was built; the test is skipped where none was."""
    found = list(_FOLDER.glob("*.deb"))
    if not found:
        pytest.skip("no package in dist/: run ./scripts/build-deb, or ./scripts/test-vm without -k, or with -k deb")
    return found[0]


def another_version(version: str, scratch: Path) -> Path:
    """Repack the package with another version number, and with another default configuration."""
    tree = scratch / version
    output_of("dpkg-deb", "-R", str(the_deb()), str(tree))
    _replace(tree / "DEBIAN/control", r"^Version: .*", f"Version: {version}")
    _replace(tree / "DEBIAN/preinst", r'gt "[^"]*"', f'gt "{version}"')
    _replace(tree / "usr/lib/brainkernel/brainkernel/__init__.py", r'^__version__ = ".*"', f'__version__ = "{version}"')
    with (tree / CONFIG_FILE.relative_to("/")).open("a") as conffile:
        conffile.write(f"# as of {version}\n")
    deb = scratch / f"{version}.deb"
    output_of("dpkg-deb", "--root-owner-group", "-Znone", "-b", str(tree), str(deb))
    shutil.rmtree(tree)
    return deb


@dataclass(frozen=True, slots=True)
class Installed:
    """The package is there. `before`: the traces of a host without it."""

    before: frozenset[str]


def clean() -> None:
    """Remove what tests of the checkout have left."""
    for folder in (CONFIG_DIR, STATE_DIR):
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def checkout_hidden() -> Iterator[None]:
    """Keep the checkout out of sight of what systemd and the shell start."""
    for file in _CHECKOUT:
        file.rename(file.with_suffix(".aside"))
    try:
        yield
    finally:
        for file in _CHECKOUT:
            file.with_suffix(".aside").rename(file)


def install() -> None:
    """Install the package and wait for both services."""
    dpkg("-i", str(the_deb()))
    wait_until(lambda: active(DAEMON) and active(GATEWAY), "both services", within_s=START_S)


def purge() -> None:
    """Take the package away, however far it got."""
    subprocess.run(["dpkg", "--purge", PACKAGE], check=False, capture_output=True)


def forget_all(config: str = "") -> None:
    """Start the daemon with the default configuration, or this one, and without any memory: what another test did is not known.

    Before each test that needs it so, not after those that leave something else: a start takes half a minute under emulation.
    """
    output_of("systemctl", "daemon-reload")  # a test may have taken a drop-in away
    output_of("systemctl", "stop", DAEMON)
    for file in (TEST_RULES, *STATE_DIR.glob("state.db*")):
        file.unlink(missing_ok=True)
    LOCAL_CONFIG.write_text(config)
    subprocess.run(["systemctl", "reset-failed"], check=False)
    output_of("systemctl", "start", DAEMON)
    wait_until(lambda: active(DAEMON), "the daemon", within_s=START_S)


def wait_for_the_limit(hog: Hog) -> None:
    """See the hog limited while somebody suffers from it; what the agent thought of it if it is not."""
    with explained(HOG), a_victim():
        wait_until(lambda: hog.quota_pct == pytest.approx(QUOTA_PCT), "a quota on the hog", within_s=LIMITED_WITHIN_S)
        time.sleep(MEASURED_WITHIN_S)


@contextmanager
def explained(program: Path) -> Iterator[None]:
    """Add to whatever fails in here what the agent decided, with its reasons about one program, and what it said."""
    try:
        yield
    except AssertionError as error:
        for command in (("list", "--limit", "20"), ("list", "--json", "--limit", "20", "--program", str(program)), ("status",)):
            done = subprocess.run([COMMAND, *command], capture_output=True, text=True, check=False)  # it may be down
            error.add_note(f"brainkernel {' '.join(command)}:\n{done.stdout}{done.stderr}")
        error.add_note(journal()[-6000:])
        raise


def dpkg(*arguments: str) -> str:
    """Run dpkg as apt does where nobody can be asked: edited files stay; what it said, errors included."""
    done = subprocess.run(
        ["dpkg", "--force-confold", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"DEBIAN_FRONTEND": "noninteractive", **_PATH},
    )
    assert done.returncode == 0, f"dpkg {arguments}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


_PATH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def configure_to_enforce() -> None:
    """Write what the tests' rules and limits need, and let the daemon follow it. A limit stands although nobody suffers any more."""
    TEST_RULES.write_text(RULES)
    LOCAL_CONFIG.write_text(CONFIG + '\n[policy]\nlease_s = 900\n\n[agent]\nmode = "enforce"\n')
    output_of("systemctl", "reload", DAEMON)
    wait_until(lambda: status()["mode"] == "enforce", "the new mode", within_s=START_S)


def status() -> dict[str, Any]:
    """What the agent says of itself."""
    found: dict[str, Any] = json.loads(output_of(COMMAND, "status", "--json"))
    return found


def active(unit: str) -> bool:
    """Whether the unit runs."""
    return property_of(unit, "ActiveState") == "active"


def main_pid(unit: str) -> int:
    """The main process of a service; 0: there is none now."""
    return int(property_of(unit, "MainPID"))


def metrics() -> str:
    """What Prometheus would get; empty while nobody answers."""
    return subprocess.run(["python3", "-c", _FETCH, METRICS_URL], capture_output=True, text=True, check=False).stdout


_FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"


def connected() -> bool:
    """Whether the gateway has the daemon."""
    return "brainkernel_daemon_connected 1.0" in metrics()


def journal() -> str:
    """All that both services said."""
    return output_of("journalctl", "--no-pager", "-o", "cat", "-u", DAEMON, "-u", GATEWAY)


@contextmanager
def a_newcomer(program: Path) -> Iterator[int]:
    """Run a program that has never run here; its pid. It is gone afterwards."""
    shutil.copy("/usr/bin/sleep", program)
    try:
        with subprocess.Popen([program, "3600"]) as process:
            try:
                yield process.pid
            finally:
                process.kill()
    finally:
        program.unlink()


def decisions_about(pid: int) -> list[dict[str, Any]]:
    """What the agent has decided about a process, as `list` shows it; the newest first."""
    return [json.loads(line) for line in output_of(COMMAND, "list", "--json", "--program", str(pid)).splitlines()]


def exposure_of(unit: str) -> float:
    """What `systemd-analyze security` counts, 0 (safe) to 10."""
    said = output_of("systemd-analyze", "security", "--no-pager", unit)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert found, said
    return float(found[1])


def _replace(file: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, file.read_text(), flags=re.MULTILINE)
    assert count == 1, f"{file}: {count} times {pattern}"
    file.write_text(text)
