"""Examples to learn from: programs of the distribution in invented uses, and uses that people labelled.

Each invented use is drawn from the tables below with a random number generator that is seeded by the program's path:
the same table of knowledge gives the same examples, in any order. What the tables hold is how programs of a kind are
usually started; `NOISE` of the uses come from another kind's table or say nothing, as hosts do.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from zlib import crc32

import orjson
import yaml
from brainkernel.classify.offline import suspect_of
from brainkernel.classify.ruleset import SHIPPED_RULES, record_of
from brainkernel.model import Category, Evidence, Identity, Package, ProcessKey, Program, Suspect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from brainkernel.classify.knowledge import Knowledge

NOISE = 0.4
SILENCE = 0.5  # of the uses have no arguments: what the tables hold must not be what is learned
PER_PACKAGE = 4  # a package of two hundred programs says no more than one of four
PARTS = 10  # of which one calibrates and one is held out
CALIBRATION, HELD_OUT = 0, 1
HARMLESS = None  # the label of "anything but suspicious"
_UNLIKELY = ("-N-", "/piglit/", "/installed-tests/", "/cross", "linux-gnu-", "mingw", "/test")

LOGIN = ("/usr/bin/bash", "/usr/sbin/sshd", "/usr/sbin/sshd", "/usr/lib/systemd/systemd")
TERMINAL = ("/usr/bin/zsh", "/usr/libexec/gnome-terminal-server", "/usr/lib/systemd/systemd", "/usr/lib/systemd/systemd")
DESKTOP = ("/usr/bin/gnome-shell", "/usr/lib/systemd/systemd", "/usr/lib/systemd/systemd")
MANAGER = ("/usr/lib/systemd/systemd",)
USER_MANAGER = ("/usr/lib/systemd/systemd", "/usr/lib/systemd/systemd")
CRON = ("/usr/bin/dash", "/usr/sbin/cron", "/usr/sbin/cron", "/usr/lib/systemd/systemd")
SHIM = ("/usr/bin/containerd-shim-runc-v2", "/usr/lib/systemd/systemd")
MAKE = ("/usr/bin/dash", "/usr/bin/make", "/usr/bin/bash", "/usr/bin/tmux", "/usr/lib/systemd/systemd")
EDITOR = ("/usr/share/code/code", "/usr/share/code/code", "/usr/lib/systemd/systemd", "/usr/lib/systemd/systemd")
RUNNER = ("/usr/bin/bash", "/opt/actions-runner/bin/Runner.Worker", "/opt/actions-runner/bin/Runner.Listener", "/usr/lib/systemd/systemd")

USER = "/user.slice/user-1000.slice"
SESSION, APP = USER + "/session-3.scope", USER + "/user@1000.service/app.slice/app-gnome-{n}-4711.scope"
VTE = USER + "/user@1000.service/app.slice/app-org.gnome.Terminal.slice/vte-spawn-0b1c.scope"
USER_UNIT = USER + "/user@1000.service/app.slice/{n}.service"
UNIT, TIMER, DOCKER = "/system.slice/{n}.service", "/system.slice/{n}.service", "/system.slice/docker-3f2a9c.scope"
HOME, SOURCE = "/home/alice", "/home/alice/src/shop"

# parents, cgroup, uid, cwd: how a program of this kind is usually started
Use = tuple[tuple[str, ...], str, int, str]
USES: dict[Category, tuple[Use, ...]] = {
    Category.INTERACTIVE: (
        (DESKTOP, APP, 1000, HOME), (DESKTOP, APP, 1001, "/home/bob"), (TERMINAL, VTE, 1000, HOME), (LOGIN, SESSION, 1000, HOME),
        (LOGIN, "", 1000, HOME + "/Documents"), (DESKTOP, "", 1000, HOME),
    ),
    Category.SERVICE: (
        (MANAGER, UNIT, 0, "/"), (MANAGER, UNIT, 110, "/var/lib/{n}"), (MANAGER, UNIT, 998, "/"), (SHIM, DOCKER, 0, "/"), (SHIM, DOCKER, 999, "/app"),
        (("/usr/bin/supervisord", *MANAGER), "/system.slice/supervisor.service", 33, "/srv/{n}"), (LOGIN, SESSION, 1000, "/srv/{n}"), (MANAGER, "", 0, "/"),
    ),
    Category.DEVELOPMENT: (
        (TERMINAL, VTE, 1000, SOURCE), (LOGIN, SESSION, 1000, SOURCE), (MAKE, SESSION, 1000, SOURCE + "/build"), (EDITOR, APP, 1000, SOURCE),
        (RUNNER, "/system.slice/actions-runner.service", 1001, "/opt/actions-runner/_work/shop/shop"), (MAKE, "", 0, "/usr/src/app"), (LOGIN, "", 1000, SOURCE),
    ),
    Category.BACKGROUND: (
        (CRON, "/system.slice/cron.service", 0, "/root"), (CRON, "/system.slice/cron.service", 1000, HOME), (MANAGER, TIMER, 0, "/"),
        (USER_MANAGER, USER_UNIT, 1000, HOME), (LOGIN, SESSION, 1000, HOME), (DESKTOP, "", 1000, HOME), (MANAGER, "", 0, "/"),
    ),
    Category.SYSTEM_CRITICAL: ((MANAGER, UNIT, 0, "/"), (MANAGER, UNIT, 101, "/"), (MANAGER, "/init.scope", 0, "/"), (USER_MANAGER, USER_UNIT, 1000, HOME)),
    Category.BLOATWARE: (
        (DESKTOP, APP, 1000, HOME), (USER_MANAGER, USER_UNIT, 1000, HOME), (MANAGER, UNIT, 0, "/"), (("/opt/{v}/{v}", *DESKTOP), APP, 1000, HOME),
        (("/opt/{v}/bin/{v}", *MANAGER), "/system.slice/{v}.service", 0, "/"),
    ),
}  # fmt: skip
SILENT: Use = ((), "", 0, "")
# Where a command line that may be an attack, or an administrator's, is typed or run.
PLACES: tuple[Use, ...] = (
    (TERMINAL, VTE, 1000, HOME), (("/usr/bin/sudo", *TERMINAL), VTE, 0, HOME), (LOGIN, SESSION, 1001, "/home/bob"), (LOGIN, "/user.slice/user-0.slice/session-4.scope", 0, "/root"),
    (CRON, "/system.slice/cron.service", 0, "/root"), (MAKE, SESSION, 1000, SOURCE), (RUNNER, "/system.slice/actions-runner.service", 1001, "/opt/actions-runner/_work/shop/shop"),
    (("/usr/bin/bash", *SHIM), DOCKER, 0, "/"), (MANAGER, "/system.slice/shop.service", 0, "/"), (("/usr/bin/dash", "/usr/sbin/apache2", *MANAGER), "/system.slice/apache2.service", 33, "/var/www/html"),
)  # fmt: skip
ELSEWHERE = 4  # of them are drawn for each

ARGUMENTS: dict[Category, tuple[str, ...]] = {
    Category.INTERACTIVE: ("", "", "report.odt", "/home/alice/Pictures/a.jpg", "--new-window", "--fullscreen", "-f notes.txt", "--profile default", "https://example.org/", "%U"),
    Category.SERVICE: (
        "", "-c /etc/{n}/{n}.conf", "--config /etc/{n}.yaml", "--config=/etc/{n}/config.toml", "-D", "-f", "--foreground", "--no-daemon", "serve", "server", "start",
        "--listen 0.0.0.0:8080", "--port 9000", "--web.listen-address=:9100", "--data-dir /var/lib/{n}", "--log-level=info", "run --config /etc/{n}/config.yml", "--pidfile /run/{n}.pid",
    ),
    Category.DEVELOPMENT: ("", "build", "test", "test ./...", "-o a.out main.c", "--target release", "install", "--version", "lint src", "-Wall -O2 -c util.c", "run dev", "--check .", "fmt"),
    Category.BACKGROUND: ("", "--quiet", "--all", "--update", "sync --all", "--delete /srv /backup", "backup --target /backup", "--prune", "--daily", "index --force", "--background", "--cron"),
    Category.SYSTEM_CRITICAL: ("", "--system", "-D", "--no-daemon", "--daemon", "-f /etc/{n}.conf", "--noclear tty1 linux", "-n"),
    Category.BLOATWARE: (
        "", "--monitor-self-annotation=ptype=crashpad-handler --database={h}/.config/{v}/Crashpad --url=https://crash.{v}.com/report", "--upload", "--send-stats", "--background --no-ui",
        "--url=https://telemetry.{v}.com/v1", "--check-for-updates", "--silent --autostart",
    ),
}  # fmt: skip

# Background work for a vendor has no packages in a free distribution: names are put together.
VENDORS = (
    "acme zoomtalk skylink musicly gamedock steamline driveup notely chatter brightcad securefox vpnplus officepro printhub scanjet padtool rgbctl teamview meetly "
    "cloudbox photon mailbird pdfmax toolbox smartups fancontrol laptopcare hpx lenox dellix asustek logix razor corsic epsos canox brothr"
).split()
VENDOR_PROGRAMS = (
    "crashpad_handler crash-handler crashreporter crash_reporter crash-uploader telemetry {v}-telemetry telemetryd usage-stats {v}-feedback feedback-agent analytics {v}-analytics "
    "metrics-uploader {v}-updater updater update-notifier {v}-update-agent auto-update {v}-helper-updater customer-experience ceip-agent error-reporter bugreport sentry-crash "
    "statistics-collector {v}-promo offers adservice {v}-reporting diagnostics-upload breakpad minidump-uploader"
).split()


@dataclass(frozen=True, slots=True)
class Example:
    """One use of one program, and what it is. `part` says of which share of the examples it is."""

    suspect: Suspect
    label: Category | None
    part: int
    weight: float = 1.0
    also_right: tuple[Category, ...] = ()


def part_of(name: str) -> int:
    """The part that a package, or a labelled record, is in."""
    return crc32(f"part {name}".encode()) % PARTS


def suspect(program: Program, evidence: Evidence) -> Suspect:
    """A suspect of a program that nobody met."""
    return Suspect(
        key=ProcessKey(0, 0), program=program, identity=Identity("", None, "", None, 0), reasons=(), seen_ns=0, evidence=evidence
    )


def programs_of(knowledge: Knowledge) -> Iterator[tuple[str, Package, Category]]:
    """Each program of which the metadata says a category, a few of each package."""
    seen: dict[str, int] = {}
    for path in knowledge.paths():
        if path.endswith("/") or any(u in path for u in _UNLIKELY):
            continue
        found, package = knowledge.find(path), knowledge.package_of(path)
        if found is None or package is None or found.category is Category.UNKNOWN:
            continue
        seen[package.name] = seen.get(package.name, 0) + 1
        if seen[package.name] <= PER_PACKAGE:
            yield path, package, found.category


def invented(path: str, package: Package, category: Category, count: int) -> Iterator[Example]:
    """Invent some uses of one program."""
    draw = random.Random(crc32(path.encode()))  # noqa: S311 # reproducible, not secret
    vendor = draw.choice(VENDORS)
    for _ in range(count):
        like = draw.choice(tuple(USES)) if draw.random() < NOISE / 2 else category
        use = SILENT if draw.random() < NOISE / 2 else draw.choice(USES[like])
        arguments = (
            "" if draw.random() < SILENCE else draw.choice(ARGUMENTS[draw.choice(tuple(USES)) if draw.random() < NOISE else category])
        )
        place = placed(path, draw, vendor)
        program = _program(place, use, arguments, vendor)
        known = package if draw.random() < 0.4 else None  # noqa: PLR2004 # mostly nobody tells the section
        yield Example(
            suspect(program, Evidence(package=known, unowned=known is None and draw.random() < NOISE)), category, part_of(package.name)
        )


def placed(path: str, draw: random.Random, vendor: str) -> str:
    """Where a program might lie that no package of the distribution brought; sometimes where it does lie."""
    name = path.rpartition("/")[2]
    homes = (
        path, f"/opt/{name}/{name}", f"/opt/{name}/bin/{name}", f"/opt/{vendor}/bin/{name}", f"/usr/local/bin/{name}", f"/usr/local/lib/{vendor}/{name}", f"/srv/{name}/bin/{name}",
        f"/home/alice/.local/bin/{name}", f"/home/alice/{name}/{name}", f"/home/alice/bin/{name}", f"/app/{name}", f"/snap/{name}/42/bin/{name}", f"/usr/lib/{vendor}/{name}",
    )  # fmt: skip
    return path if draw.random() < NOISE else draw.choice(homes)


def vendors_own() -> Iterator[Example]:
    """Invent the background work that vendors' programs bring along."""
    for vendor in VENDORS:
        for number, program in enumerate(VENDOR_PROGRAMS):
            draw = random.Random(crc32(f"{vendor} {number}".encode()))  # noqa: S311 # reproducible, not secret
            name = program.format(v=vendor)
            place = draw.choice(
                (
                    f"/opt/{vendor}/{name}",
                    f"/opt/{vendor}/lib/{name}",
                    f"/usr/lib/{vendor}/{name}",
                    f"/snap/{vendor}/9/{name}",
                    f"/home/alice/.local/share/{vendor}/{name}",
                )
            )
            use = SILENT if draw.random() < NOISE / 2 else draw.choice(USES[Category.BLOATWARE])
            made = _program(place, use, draw.choice(ARGUMENTS[Category.BLOATWARE]), vendor)
            yield Example(suspect(made, Evidence(unowned=draw.random() < NOISE)), Category.BLOATWARE, part_of(vendor))


def _program(path: str, use: Use, arguments: str, vendor: str) -> Program:
    name = path.rpartition("/")[2]

    def filled(text: str) -> str:
        return text.format(n=name.replace("{", "").replace("}", ""), v=vendor, h=HOME)

    parents, cgroup, uid, cwd = use
    argv = (path, *filled(arguments).split())
    return Program(
        exe=path, argv=argv, comm=name[:15], parents=tuple(map(filled, parents)), uid=uid, cwd=filled(cwd), cgroup=filled(cgroup)
    )


def of_rules() -> Iterator[Example]:
    """The examples that the shipped rules carry: a use that must match has the rule's category."""
    for file in sorted(SHIPPED_RULES.glob("*.yaml")):
        for rule in yaml.safe_load(file.read_text(encoding="utf-8")).get("rules", ()):
            category = Category(rule["category"])
            for record in rule.get("must_match", ()) if category is not Category.UNKNOWN else ():
                yield from elsewhere(Example(suspect(*record_of(record, rule["id"])), category, part_of(repr(record)), 3.0))
            if category is Category.SUSPICIOUS:
                for record in rule.get("must_not_match", ()):
                    yield from elsewhere(Example(suspect(*record_of(record, rule["id"])), HARMLESS, part_of(repr(record)), 3.0))


def elsewhere(example: Example) -> Iterator[Example]:
    """Give an example, and where it is about suspicion also in other places: what is typed there is not what makes it one.

    Attacks are written down as root's, or as a web server's, and harmless commands as a person's. Learned from these alone, whatever
    root does looks like an attack.
    """
    yield example
    if example.label not in (Category.SUSPICIOUS, HARMLESS):
        return
    program = example.suspect.program
    draw = random.Random(crc32(repr(program.argv).encode()))  # noqa: S311 # reproducible, not secret
    for parents, cgroup, uid, cwd in draw.sample(PLACES, ELSEWHERE):
        moved = replace(program, parents=parents, cgroup=cgroup, uid=uid, cwd=cwd)
        yield replace(example, suspect=suspect(moved, example.suspect.evidence), weight=example.weight / ELSEWHERE)


def is_held_out(record: dict[str, Any]) -> bool:
    """Whether a labelled record is never shown to training: every second one, by its id."""
    return crc32(record["id"].encode()) % 2 == 1


def labelled(file: Path) -> Iterator[tuple[dict[str, Any], Example]]:
    """People's labels. Those that are held out are in part HELD_OUT, of the others every second one calibrates."""
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        record = orjson.loads(line)
        _, found = suspect_of(line, number)
        if record["expected"] == Category.UNKNOWN:
            continue
        label = HARMLESS if record["expected"] == "benign" else Category(record["expected"])
        part = HELD_OUT if is_held_out(record) else CALIBRATION if part_of(record["id"]) < PARTS // 2 else PARTS - 1
        yield record, Example(found, label, part, 3.0, tuple(map(Category, record["also_ok"])))
