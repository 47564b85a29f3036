"""What the rules may ask about one program: derived once, from the record, the evidence and the shipped knowledge.

Nothing here is taken from what a program says of itself (argv[0], comm) where its file says otherwise. Text of the
command line is kept apart from identity, so that a rule which trusts must name which of both it reads.
"""

from __future__ import annotations

import base64
import binascii
import enum
import re
from functools import cached_property
from typing import TYPE_CHECKING

from brainkernel.classify import paths
from brainkernel.classify.commands import INTERPRETERS, SHELLS, WRAPPERS, CommandLine, bounded, parse
from brainkernel.model import Category, Mark, Package

if TYPE_CHECKING:
    from brainkernel.classify.knowledge import Knowledge
    from brainkernel.model import Evidence, Program

_DECODED_MAX = 4
_BASE64 = re.compile(r"[A-Za-z0-9+/]{24,4000}={0,2}")
_HEX = re.compile(r"(?:\\x[0-9A-Fa-f]{2}){8,1000}|(?<![0-9A-Fa-f])[0-9A-Fa-f]{32,4000}(?![0-9A-Fa-f])")
_BRACE = re.compile(r"\{([^{}\s]{1,400},[^{}\s]{0,400})\}")
_IFS = re.compile(r"\$\{?IFS(?:%\?\?|[^}\s]{0,8})?\}?(?:\$\d)?")
_EMPTY_QUOTES = re.compile(r"(?<=\w)(?:''|\"\"|\\(?=[a-z]))(?=\w)")
_QUOTED_LETTERS = re.compile(r"(?<=[a-z])(['\"])([a-z]{1,3})\1(?=[a-z])")  # w'g'et
_ANSI_C = re.compile(r"\$'((?:\\x[2-7][0-9a-fA-F]|\\[01][0-7]{2}|[^'\\]){1,400})'")
_ANSI_C_LETTER = re.compile(r"\\x([0-9a-fA-F]{2})|\\([01][0-7]{2})")
_TRANSPARENT = (
    SHELLS
    | WRAPPERS
    | {"run-parts", "su", "script", "flock", "runc", "crun", "containerd-shim-runc-v2", "containerd-shim", "conmon", "anacron"}
)
_INIT = frozenset({"systemd", "init", "runit", "s6-svscan", "openrc-init"})


class Place(enum.StrEnum):
    """Where on the host a program lives, as its cgroup and its ancestors tell."""

    SYSTEM_SERVICE = "system_service"
    USER_SERVICE = "user_service"
    APP = "app"  # started by a desktop, in a scope of its own
    TERMINAL = "terminal"  # below a terminal's or a login's shell
    SESSION = "session"
    CONTAINER = "container"
    OTHER = "other"


_CONTAINER = re.compile(
    r"(?:^|/)(?:docker[-/]|kubepods|libpod-|cri-containerd|crio-|lxc|nerdctl|machine\.slice/|containerd/|buildkit/)|\.scope/container\b"
)
_SYSTEM_UNIT = re.compile(r"^/system\.slice/(?:.*/)?([^/]+\.(?:service|mount|socket|scope))")
_USER_UNIT = re.compile(r"/user@\d+\.service/(?:([\w.\\@-]+\.slice)/)?(?:.*/)?([^/]+\.(?:service|scope))$")


class Facts:
    """One program under judgement.

    `exe` is normalised; `target` is what is really judged: the script of an interpreter, the command of a wrapper,
    else the program itself. `target_is_told` says that the target is only a word in a command line.
    """

    def __init__(self, program: Program, evidence: Evidence, knowledge: Knowledge) -> None:
        self.program = program
        self.evidence = evidence
        self._knowledge = knowledge
        self.exe = paths.normalised(program.exe)
        self.uid = program.uid
        self.argv = program.argv
        self.parents = tuple(map(paths.normalised, program.parents))

    @cached_property
    def name(self) -> str:
        """The folded name of the file that runs."""
        return paths.name_of(self.exe)

    @cached_property
    def line(self) -> CommandLine:
        """The command line taken apart, with what its encoded parts decode to."""
        line = parse(self.argv, self.exe)
        decoded = [parse(("sh", "-c", text)) for text in self.decoded]
        if not decoded:
            return line
        return CommandLine((*line.commands, *(c for d in decoded for c in d.commands[1:])), line.script, line.module, line.code)

    @cached_property
    def raw_text(self) -> str:
        """The whole command line, blank between arguments, bounded from both ends."""
        return bounded(" ".join(self.argv))

    @cached_property
    def text(self) -> str:
        """The command line as a shell would read it: simple disguises undone, encoded parts appended decoded."""
        return "\n".join((undisguised(self.raw_text), *self.decoded))

    @cached_property
    def decoded(self) -> tuple[str, ...]:
        """What base64 and hexadecimal parts of the command line hold, where that is readable text."""
        text = self.raw_text
        return tuple(decoded_parts(text)) if len(text) >= 24 else ()  # noqa: PLR2004 # the shortest part looked for

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of all commands in the command line."""
        return frozenset(c.name for c in self.line.commands)

    @cached_property
    def script(self) -> str:
        """The file an interpreter runs, absolute where the working directory is known; "" if none."""
        if self.evidence.script:
            return paths.normalised(self.evidence.script)
        if self.name not in INTERPRETERS and self.name not in SHELLS and not self.is_wrapper:
            return ""
        script = self.line.script
        if script and not script.startswith("/") and self.program.cwd:
            script = f"{self.program.cwd.rstrip('/')}/{script.removeprefix('./')}"
        return paths.normalised(script) if script else ""

    @property
    def is_wrapper(self) -> bool:
        """Whether the program's only purpose is to run another."""
        return self.name in _BECOMES_ANOTHER

    @cached_property
    def _target(self) -> tuple[str, bool]:
        if self.name in INTERPRETERS or self.name in SHELLS:
            if self.script:
                return self.script, False
            told = self._told() if self.name in SHELLS else ""
            return (told, True) if told else (self.exe, False)
        if self.is_wrapper:
            return self._told(), True
        if self.argv and paths.name_of(self.argv[0]) != self.name and paths.is_system(self.exe):
            return self._by_other_name()
        return self.exe, False

    # One file of many names (udevadm is systemd-udevd, redis-check-rdb is redis-server): the other name counts only
    # if the same package ships both, or the file is known to be such.
    def _by_other_name(self) -> tuple[str, bool]:
        other = paths.normalised(self.argv[0])
        candidates = (other,) if other.startswith("/") else tuple(d + other for d in ("/usr/bin/", "/usr/sbin/"))
        own = self._knowledge.find(self.exe)
        for path in candidates:
            found = self._knowledge.find(path) if paths.is_system(path) else None
            if found and own and (found.package == own.package or self.name in _MANY_NAMES):
                return path, False
        return self.exe, False

    # The first command of the shell's text or of the wrapper that is not itself a shell's word.
    def _told(self) -> str:
        for command in self.line.commands[1:]:
            if command.name in _SHELL_WORDS or command.name in WRAPPERS or command.name in SHELLS or "=" in command.words[0]:
                continue
            word = command.words[0]
            if word.startswith("/"):
                return paths.normalised(word)
            if "/" not in word:
                found = next((p for d in ("/usr/bin/", "/usr/sbin/", "/usr/games/") if self._knowledge.find(p := d + word)), "")
                return found or word
            return paths.normalised(f"{self.program.cwd.rstrip('/')}/{word}")
        return ""

    @cached_property
    def target(self) -> str:
        """The path of what is judged, as Debian spells it if only another distribution has that program there."""
        path = self._target[0]
        if self._knowledge.find(path):
            return path
        places = paths.elsewhere(path)
        # No program of Debian lies in /usr/lib itself: rules speak of /usr/libexec.
        return next((p for p in places if self._knowledge.find(p)), places[0] if len(places) > 1 else path)

    @property
    def target_is_told(self) -> bool:
        """Whether the target is only named in a command line, so that nothing proves it will be that file."""
        return self._target[1]

    @cached_property
    def target_name(self) -> str:
        """The folded name of the target."""
        return paths.name_of(self.target)

    @cached_property
    def known(self) -> Category:
        """What the distribution's metadata says the target is; unknown for what is no file of the system."""
        known = self._knowledge.find(self.target)
        return known.category if known else Category.UNKNOWN

    @cached_property
    def known_confidence(self) -> float:
        """How sure the metadata's category is."""
        known = self._knowledge.find(self.target)
        return known.confidence if known else 0.0

    @cached_property
    def package(self) -> Package | None:
        """The target's package: from the host where it was looked up, else from the shipped knowledge."""
        if self.evidence.package is not None and self._target[0] == self.exe:
            return self.evidence.package
        return self._knowledge.package_of(self.target)

    @cached_property
    def parent_names(self) -> tuple[str, ...]:
        """The folded names of the ancestors, nearest first; one that lies where anybody may write has none."""
        return tuple("" if paths.is_world_writable(p) else paths.name_of(p) for p in self.parents)

    @cached_property
    def starter(self) -> str:
        """The name of the nearest ancestor that is neither a shell nor a wrapper: who really wanted this."""
        return next((n for n in self.parent_names if n not in _TRANSPARENT), "")

    @cached_property
    def unit(self) -> str:
        """The name of the systemd unit, "" if not known."""
        if self.evidence.unit is not None:
            return self.evidence.unit.name
        match = _SYSTEM_UNIT.match(self.program.cgroup) or _USER_UNIT.search(self.program.cgroup)
        return match[match.lastindex or 1] if match else ""

    @cached_property
    def place(self) -> Place:
        """Where on the host it lives."""
        cgroup = self.program.cgroup
        if (
            self.evidence.container
            or _CONTAINER.search(cgroup)
            or any(n in ("containerd-shim-runc-v2", "containerd-shim", "conmon") for n in self.parent_names)
        ):
            return Place.CONTAINER
        if _SYSTEM_UNIT.match(cgroup):
            return Place.SYSTEM_SERVICE
        if match := _USER_UNIT.search(cgroup):
            return _place_of_user_unit(match[2])
        if "/session-" in cgroup:
            return Place.SESSION
        return self._place_by_parents() if not cgroup or cgroup == "/" else Place.OTHER

    def _place_by_parents(self) -> Place:
        names = self.parent_names
        if names[:1] and names[0] in _INIT:
            return Place.SYSTEM_SERVICE if len(names) == 1 else Place.USER_SERVICE
        if any(n in ("sshd", "login", "tmux", "screen", "gnome-terminal-server", "konsole", "xterm") for n in names):
            return Place.TERMINAL
        return Place.SYSTEM_SERVICE if names and names[-1] in _INIT and names.count("systemd") == 1 else Place.OTHER

    @cached_property
    def main_of_unit(self) -> bool:
        """Whether the service manager itself started it, rather than something inside the unit."""
        return bool(self.parent_names) and self.parent_names[0] in _INIT

    @cached_property
    def marks(self) -> frozenset[Mark]:
        """The kernel's marks and those that the path alone shows."""
        marks = set(self.evidence.marks)
        exe = self.program.exe
        if exe.startswith(("/memfd:", "memfd:", "/proc/self/fd/", "/dev/fd/")):
            marks.add(Mark.MEMFD)
        elif exe.endswith(" (deleted)"):
            marks.add(Mark.DELETED)
        if paths.is_world_writable(self.exe):
            marks.add(Mark.WORLD_WRITABLE_DIR)
        if paths.is_hidden(self.exe):
            marks.add(Mark.HIDDEN_DIR)
        if self.argv and paths.name_of(self.argv[0]) != self.name:
            marks.add(Mark.ARGV0_MISMATCH)
        return frozenset(marks)


_MANY_NAMES = frozenset(
    {
        "busybox",
        "redis-check-rdb",
        "redis-check-aof",
        "kmod",
        "lvm",
        "xtables-nft-multi",
        "xtables-legacy-multi",
        "lld",
        "udevadm",
        "mtools",
    }
)
# Wrappers that exec what they wrap: in a moment this process will be that program. The others stay, and are themselves.
_BECOMES_ANOTHER = frozenset(
    {
        "nice",
        "ionice",
        "nohup",
        "setsid",
        "env",
        "stdbuf",
        "chrt",
        "taskset",
        "exec",
        "setpriv",
        "numactl",
        "tini",
        "dumb-init",
        "catatonit",
    }
)
_SHELL_WORDS = frozenset(
    "cd test [ [[ : true false export set unset source . command echo printf exec trap umask ulimit sleep wait exit return shift read local "
    "declare alias pwd type hash mkdir rm cat grep sed awk cut tr head tail sort uniq ls cp mv touch chmod chown date".split()
)


_TERMINAL_SCOPES = (
    "vte-spawn-",
    "tmux-spawn-",
    "app-org.kde.konsole",
    "kitty-",
    "app-kitty",
    "app-alacritty",
    "app-foot",
    "app-org.kde.yakuake",
)


def _place_of_user_unit(unit: str) -> Place:
    if unit.endswith(".scope") and unit.startswith(_TERMINAL_SCOPES):
        return Place.TERMINAL
    return Place.APP if unit.endswith(".scope") or unit.startswith(("app-", "snap.")) else Place.USER_SERVICE


def undisguised(text: str) -> str:
    r"""Undo the cheap disguises of shell text: `{a,b}` for `a b`, `${IFS}`, `$'\x73h'`, quotes and backslashes inside words."""
    if "{" in text and "," in text:
        text = _BRACE.sub(lambda m: m[1].replace(",", " "), text)
    if "$'" in text and "\\" in text:
        text = _ANSI_C.sub(lambda m: _ANSI_C_LETTER.sub(lambda c: chr(int(c[1], 16) if c[1] else int(c[2], 8)), m[1]), text)
    if "\\n" in text and ("printf" in text or "echo -e" in text or "$'" in text):
        text = text.replace("\\n", " ")  # the end of a line that is written; `u\name` is a disguise where nothing writes
    if "IFS" in text:
        text = _IFS.sub(" ", text)
    if "''" in text or '""' in text or "\\" in text:
        text = _EMPTY_QUOTES.sub("", text)
    if "'" in text or '"' in text:
        text = _QUOTED_LETTERS.sub(r"\2", text)
    return text


def decoded_parts(text: str) -> list[str]:
    """Decode what looks like base64 or hexadecimal and holds readable text; at most four parts."""
    found: list[str] = []
    for match in _HEX.finditer(text):
        _keep_readable(found, _unhexed(match[0]))
    for match in _BASE64.finditer(text):
        part = match[0].rstrip("=")
        try:
            _keep_readable(found, base64.b64decode(part + "=" * (-len(part) % 4)))
        except (binascii.Error, ValueError):
            continue
    return found


def _unhexed(text: str) -> bytes:
    digits = text.replace("\\x", "")
    return bytes.fromhex(digits[: len(digits) // 2 * 2])


def _keep_readable(found: list[str], data: bytes) -> None:
    if len(found) >= _DECODED_MAX:
        return
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        return
    if all(c.isprintable() or c in "\n\t\r" for c in text) and (" " in text or "/" in text):
        found.append(bounded(text))
