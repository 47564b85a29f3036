"""Build the shipped knowledge: which package a program belongs to, and what kind of program that makes it.

Reads apt's Packages and Contents indexes, asks the ordered rules of priors.yaml for each program, and writes the table
that `brainkernel.classify.knowledge` reads. The same indexes give the same bytes.
"""

from __future__ import annotations

import argparse
import re
import struct
import subprocess
import sys
import zlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from brainkernel.classify.knowledge import LETTER_OF, MAGIC
from brainkernel.classify.paths import normalised, without_versions
from brainkernel.model import Category

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BLOCK_BYTES = 16_384  # one lookup inflates one block: 16 KiB takes about 60 us
_SUMMARY_MAX = 60
_PRIORITIES = ("required", "important", "standard")
_UNLIKELY_SECTIONS = ("debug", "doc", "oldlibs", "metapackages")
_UNUSUAL = re.compile(
    r"-(?:nopie|dbg|cross|tests?|avr|mingw\S*|examples)(?:-|$)|-(?:powerpc|mips|arm|sparc|alpha|m68k|hppa|riscv|s390x|sh4|i686)\S*$"
)
_NO_PROGRAMS = re.compile(
    r"^/usr/share/(?:doc|man|locale|icons|info|help|lintian|bug|fonts|pixmaps|themes|backgrounds|mime|gir-1\.0|vala)/|/include/"
)
_PROGRAM = re.compile(r"^/usr/(?:s?bin|games|libexec)/|^/usr/(?:lib|share)/(?:.+/)?(?:s?bin|libexec)/[^/]+$|^/usr/lib/systemd/[^/]+$")
_NOT_PROGRAM = re.compile(r"\.(?:so(?:\.[\d.]+)?|a|h|o|pyc|conf|service|xml|json|png|svg|txt|html|gz|mo|dll|exe|man|desktop|class)$")
_HAS_PROGRAMS = re.compile(r"/[^/.]+$|\.(?:py|pl|sh|jar|js|mjs|rb|tcl|php|lua)$")
_ROOTS = re.compile(r"^(/usr/(?:lib|libexec|share)/(?:x86_64-linux-gnu/)?[^/]+)/")
_LANGUAGE_TREES = re.compile(
    r"^/usr/lib/(?:python3|python3\.\d+|haskell-packages|R|ocaml|ruby|debug|debian-installer|x86_64-linux-gnu/(?:piglit|perl5|qt[56]))/"
)


@dataclass(slots=True)
class Source:
    """What the indexes say of one package."""

    name: str
    section: str = ""
    summary: str = ""
    tags: frozenset[str] = frozenset()
    rank: int = 0  # of its priority: what every host has comes first
    desktops: set[str] = field(default_factory=set)
    services: set[str] = field(default_factory=set)
    ships: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Prior:
    """One rule of priors.yaml."""

    category: Category
    confidence: float
    section: frozenset[str]
    tag: frozenset[str]
    without_tag: frozenset[str]
    ships: frozenset[str]
    package: re.Pattern[str] | None
    path: re.Pattern[str] | None
    name: re.Pattern[str] | None
    summary: re.Pattern[str] | None

    def matches(self, path: str, package: Source) -> bool:
        """Tell whether every condition that is set holds for a program of a package."""
        name = path.rpartition("/")[2]
        ships = package.ships | ({"desktop_of_name"} if name in package.desktops else set())
        ships |= {"service_of_name"} if name in package.services else set()
        return (
            (not self.section or package.section in self.section)
            and (not self.tag or not self.tag.isdisjoint(package.tags))
            and self.without_tag.isdisjoint(package.tags)
            and (not self.ships or not self.ships.isdisjoint(ships))
            and (self.package is None or self.package.search(package.name) is not None)
            and (self.path is None or self.path.search(path) is not None)
            and (self.name is None or self.name.search(name) is not None)
            and (self.summary is None or self.summary.search(package.summary) is not None)
        )


def read_priors(file: Path) -> list[Prior]:
    """Read the ordered rules; each must give its reason."""

    def pattern(raw: dict[str, Any], key: str) -> re.Pattern[str] | None:
        return re.compile(raw[key]) if key in raw else None

    def some(raw: dict[str, Any], key: str) -> frozenset[str]:
        value = raw.get(key, [])
        return frozenset([value] if isinstance(value, str) else value)

    found = []
    for raw in yaml.safe_load(file.read_text(encoding="utf-8")):
        when = raw["when"]
        if not raw["reason"]:
            sys.exit(f"{file}: a prior without a reason: {raw}")
        found.append(
            Prior(
                category=Category(raw["category"]),
                confidence=raw["confidence"],
                section=some(when, "section"),
                tag=some(when, "tag"),
                without_tag=some(when, "without_tag"),
                ships=some(when, "ships"),
                package=pattern(when, "package"),
                path=pattern(when, "path"),
                name=pattern(when, "name"),
                summary=pattern(when, "summary"),
            )
        )
    return found


def read_packages(lists: Path) -> dict[str, Source]:
    """Read section, summary and debtags of every package."""
    found: dict[str, Source] = {}
    for file in sorted(lists.glob("*_Packages*")):
        for stanza in re.sub(r"\n[ \t]+", " ", _text_of(file)).split("\n\n"):
            fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line)
            if "Package" not in fields:
                continue
            name = fields["Package"]
            old = found.get(name)
            tags = frozenset(t.strip() for t in fields.get("Tag", "").split(",") if t.strip())
            section = fields.get("Section", "").rpartition("/")[2]
            rank = _PRIORITIES.index(fields["Priority"]) if fields.get("Priority") in _PRIORITIES else len(_PRIORITIES)
            found[name] = Source(name, section, fields.get("Description", "")[:_SUMMARY_MAX], tags or (old.tags if old else tags), rank)
    return found


def read_contents(lists: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each path below /usr and /etc with the packages that ship it."""
    for file in sorted(lists.glob("*_Contents-*")):
        for line in _text_of(file).splitlines():
            path, _, owners = line.rpartition(" ")
            path = "/" + path.rstrip()
            if path.startswith(("/usr/", "/bin/", "/sbin/", "/lib/", "/etc/")) and not _NO_PROGRAMS.match(path):
                yield normalised(path), [o.rpartition("/")[2] for o in owners.split(",")]


def _text_of(file: Path) -> str:
    return subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", str(file)], check=True, capture_output=True).stdout.decode(
        "utf-8", "replace"
    )


def note_signs(path: str, package: Source) -> None:
    """Note what a file says about its package: that it has a window, a service, a timer."""
    name = without_versions(path).rpartition("/")[2]
    if path.startswith("/usr/share/applications/") and name.endswith(".desktop"):
        stem = without_versions(path.removesuffix(".desktop")).rpartition("/")[2]
        package.desktops |= {stem, stem.rpartition(".")[2].lower(), stem.rpartition(".")[2]}
        package.ships.add("desktop")
    elif path.startswith("/usr/lib/systemd/system/") and name.endswith(".service"):
        package.services.add(without_versions(path.removesuffix(".service").rstrip("@")).rpartition("/")[2])
        package.ships.add("service")
    elif path.startswith("/etc/init.d/"):
        package.services.add(name)
        package.ships.add("service")
    elif name.endswith(".timer") or path.startswith("/etc/cron."):
        package.ships.add("timer")
    elif path.startswith(("/usr/share/xsessions/", "/usr/share/wayland-sessions/")):
        package.ships.add("session")
    elif path.startswith("/etc/xdg/autostart/"):
        package.ships.add("autostart")


def collect(lists: Path, packages: dict[str, Source]) -> tuple[dict[str, str], dict[str, str]]:
    """Find the owner of each program and of each directory that holds programs."""
    programs: dict[str, str] = {}
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for path, owners in read_contents(lists):
        known = [o for o in owners if o in packages]
        if not known:
            continue
        for owner in known:
            note_signs(path, packages[owner])
        if _PROGRAM.match(path) and not _NOT_PROGRAM.search(path):
            key = without_versions(path)
            best = _owner_of(path, known, packages)
            programs[key] = best if key not in programs else _owner_of(path, [programs[key], best], packages)
        elif (root := _ROOTS.match(path)) and _HAS_PROGRAMS.search(path) and not _LANGUAGE_TREES.match(path):
            directory = path.rpartition("/")[0]
            for _ in range(4):
                votes[without_versions(directory + "/")[:-1]][known[0]] += 1
                directory = directory.rpartition("/")[0]
                if len(directory) < len(root[1]):
                    break
    return programs, _directories(votes)


# Of several packages that ship one path, the one named like it, then what more hosts have, then the shortest name.
def _owner_of(path: str, owners: list[str], packages: dict[str, Source]) -> str:
    name = path.rpartition("/")[2]
    return min(
        owners,
        key=lambda o: (o != name, packages[o].section in _UNLIKELY_SECTIONS, packages[o].rank, _UNUSUAL.search(o) is not None, len(o), o),
    )


# A directory has an owner if most of what lies in it is one package's; it is left out where its parent says the same.
def _directories(votes: dict[str, Counter[str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for directory in sorted(votes):
        owner, count = min(votes[directory].items(), key=lambda item: (-item[1], item[0]))
        if count * 2 <= votes[directory].total():
            continue
        parent = directory.rpartition("/")[0]
        while parent.count("/") > 2 and parent not in found:  # noqa: PLR2004 # /usr/lib says nothing
            parent = parent.rpartition("/")[0]
        if found.get(parent) != owner:
            found[directory] = owner
    return found


def table_lines(programs: dict[str, str], directories: dict[str, str], packages: dict[str, Source], priors: list[Prior]) -> list[bytes]:
    """Make the sorted lines: `path TAB package TAB letter+percent`, and `=package TAB section TAB summary`."""
    lines = []
    used = set()
    for key, owner in [*programs.items(), *((d + "/", o) for d, o in directories.items())]:
        package = packages[owner]
        prior = next((p for p in priors if p.matches(key, package)), None)
        code = f"{LETTER_OF[prior.category]}{round(prior.confidence * 100)}" if prior and prior.category is not Category.UNKNOWN else "-"
        lines.append(f"{key}\t{owner}\t{code}".encode())
        used.add(owner)
    lines += [f"={name}\t{packages[name].section}\t{packages[name].summary}".replace("\n", " ").encode() for name in used]
    return sorted(lines)


def packed(lines: list[bytes]) -> bytes:
    """Cut the lines into blocks, compress each with a common dictionary, put an index of first keys in front."""
    blocks: list[list[bytes]] = [[]]
    size = 0
    for line in lines:
        if size > _BLOCK_BYTES:
            blocks.append([])
            size = 0
        blocks[-1].append(line)
        size += len(line) + 1
    dictionary = b"\n".join(line for i, line in enumerate(lines) if i % (len(lines) // 400 + 1) == 0)[-32_000:]
    index, body = [], []
    for block in blocks:
        deflate = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_DEFAULT_STRATEGY, dictionary)
        data = deflate.compress(b"\n" + b"\n".join(block) + b"\n") + deflate.flush()
        index.append(b"%d %s" % (len(data), block[0].partition(b"\t")[0]))
        body.append(data)
    packed_index = zlib.compress(b"\n".join(index), 9)
    return b"".join([struct.pack("<8sII", MAGIC, len(packed_index), len(dictionary)), packed_index, dictionary, *body])


def main(argv: Iterable[str] | None = None) -> None:
    """Read the indexes, build the table, say what is in it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lists", type=Path, required=True, help="directory with apt's Packages and Contents indexes")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--dump", type=Path, help="also write the lines as text, to look at")
    arguments = parser.parse_args(None if argv is None else list(argv))
    packages = read_packages(arguments.lists)
    programs, directories = collect(arguments.lists, packages)
    if not programs:
        sys.exit(f"{arguments.lists}: no Contents index; see scripts/train")
    lines = table_lines(programs, directories, packages, read_priors(Path(__file__).parent / "priors.yaml"))
    data = packed(lines)
    arguments.output.write_bytes(data)
    if arguments.dump:
        arguments.dump.write_bytes(b"\n".join(lines) + b"\n")
    codes = Counter(line.rpartition(b"\t")[2][:1].decode() for line in lines if not line.startswith(b"="))
    print(f"{len(programs)} programs, {len(directories)} directories, {len(data)} bytes; by category: {dict(codes.most_common())}")


if __name__ == "__main__":
    main()
