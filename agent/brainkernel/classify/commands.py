"""The commands in a command line: what a wrapper, a shell or an interpreter is told to run.

Everything here is a reading of hostile text for the purpose of judging it. It is tolerant: what cannot be parsed
is read as far as it goes. It is bounded: in depth, in number of commands and in length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from brainkernel.classify.paths import name_of

SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "fish", "tcsh", "csh", "rbash", "busybox"})
INTERPRETERS = frozenset(
    {
        "python",
        "perl",
        "ruby",
        "node",
        "php",
        "lua",
        "luajit",
        "tclsh",
        "wish",
        "Rscript",
        "guile",
        "java",
        "mono",
        "dotnet",
        "deno",
        "bun",
        "pypy",
        "php-cgi",
        "gjs",
        "gjs-console",
        "cjs",
    }
)
# Characters of a text that are searched, half from each end. A kernel record holds 4096 bytes; every pattern is asked of
# all of it, and the daemon must not stand still for a line that was made to be slow.
_TEXT_MAX = 8192
_BLANKS = re.compile(r"[ \t]{2,}|\t")
_COMMANDS_MAX = 48
_DEPTH_MAX = 4

# Options that take the next word as their value, and how many words stand before the command. "-" in front of a
# wrapper's options is not needed: the table is what getopt of each is told.
_WRAPPERS: dict[str, tuple[frozenset[str], int]] = {
    name: (frozenset(options.split()), positional)
    for name, options, positional in (
        ("sudo", "-u -g -h -p -C -T -r -t -U -D -R --user --group --host --prompt --chdir --chroot", 0),
        ("doas", "-u -C", 0),
        ("env", "-u -C --unset --chdir", 0),
        ("nice", "-n --adjustment", 0),
        ("ionice", "-c -n -p --class --classdata", 0),
        ("chrt", "-T -P -D", 1),
        ("taskset", "", 1),
        ("timeout", "-s -k --signal --kill-after", 1),
        ("nohup", "", 0),
        ("setsid", "", 0),
        ("stdbuf", "-i -o -e", 0),
        ("xargs", "-I -n -P -d -L -a -E -s --max-args --max-procs --delimiter --arg-file", 0),
        ("time", "-f -o", 0),
        ("chroot", "", 1),
        ("flock", "-w -E --timeout --wait", 1),
        ("systemd-run", "-p -u -t -M -H --unit --property --slice --uid --gid --description --on-calendar --on-active", 0),
        ("systemd-inhibit", "", 0),
        ("systemd-cat", "-t -p", 0),
        ("dbus-run-session", "--config-file", 0),
        ("dbus-launch", "", 0),
        ("runuser", "-u -g -G", 0),
        ("gosu", "", 1),
        ("su-exec", "", 1),
        ("setpriv", "--reuid --regid --groups", 0),
        ("unshare", "-S -G -R -w --setuid --setgid --root --wd", 0),
        ("nsenter", "-t -S -G --target", 0),
        ("watch", "-n --interval", 0),
        ("tini", "-p -e", 0),
        ("dumb-init", "", 0),
        ("catatonit", "", 0),
        ("fakeroot", "-l -s -i", 0),
        ("eatmydata", "", 0),
        ("numactl", "", 0),
        ("cpulimit", "-l -p -P -e", 0),
        ("cgexec", "-g", 0),
        ("proxychains", "-f", 0),
        ("proxychains4", "-f", 0),
        ("torsocks", "", 0),
        ("torify", "", 0),
        ("gamemoderun", "", 0),
        ("xvfb-run", "-n -s -e --server-args", 0),
        ("catchsegv", "", 0),
        ("exec", "-a", 0),
        ("command", "", 0),
        ("builtin", "", 0),
    )
}
WRAPPERS = frozenset(_WRAPPERS)
_LOADER = re.compile(r"^ld(?:-linux[\w.-]*|-musl[\w.-]*|-[\d.]+)?\.so(?:\.\d+)?$")
_ASSIGNMENT = re.compile(r"^[A-Za-z_]\w*\+?=")

_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r]+)
    |(?P<end>\|\|?|&&|;;?|\n|(?<![<>])&(?![>&])|(?<![<>$])[()]|`|\$\(|<\(|>\()
    |(?P<quoted>'(?P<single>[^']*)'?|"(?P<double>(?:[^"\\]|\\.)*)"?)
    |(?P<escaped>\\(?:.|\n|$))
    |(?P<plain>[^\s'"\\|&;()`$<>]+|.)""",
    re.VERBOSE | re.DOTALL,
)
_SUBSTITUTION = re.compile(r"\$\(([^()]{1,2000})\)|`([^`]{1,2000})`")
_KEYWORDS = frozenset({"if", "then", "else", "elif", "do", "while", "until", "!", "{", "}", "eval", "fi", "done", "esac"})


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its words, the folded name of its program, and its arguments as one text."""

    name: str
    words: tuple[str, ...]
    text: str  # the arguments, joined by a blank

    @classmethod
    def of(cls, words: list[str] | tuple[str, ...]) -> Command:
        """Make a command of its words, of which there is at least one."""
        return cls(name_of(words[0]), tuple(words), bounded(" ".join(words[1:])))


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A command line taken apart.

    `commands` holds the program itself and all that it is told to run, outermost first. `script` is the file that
    an interpreter or a shell runs, `module` what `python -m` runs, `code` what follows -c or -e.
    """

    commands: tuple[Command, ...]
    script: str = ""
    module: str = ""
    code: str = ""


def bounded(text: str) -> str:
    """Fold runs of blanks, which mean nothing, and keep both ends of what is still too long."""
    if "  " in text or "\t" in text:
        text = _BLANKS.sub(" ", text)
    return text if len(text) <= _TEXT_MAX else f"{text[: _TEXT_MAX // 2]} {text[-_TEXT_MAX // 2 :]}"


def split_shell(text: str) -> list[list[str]]:
    """Cut a shell's text into commands and their words; quotes are gone, redirections are words."""
    commands: list[list[str]] = [[]]
    word: list[str] = []
    in_word = False
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind in ("plain", "escaped", "quoted"):
            in_word = True
            word.append(_unquoted(match, kind))
            continue
        if in_word:
            commands[-1].append("".join(word))
            word, in_word = [], False
        if kind == "end" and commands[-1]:
            if len(commands) >= _COMMANDS_MAX:
                return commands
            commands.append([])
    if in_word:
        commands[-1].append("".join(word))
    return [c for c in commands if c]


def _unquoted(match: re.Match[str], kind: str) -> str:
    if kind == "quoted":
        return match["single"] if match["single"] is not None else (match["double"] or "")
    return match[0][1:] if kind == "escaped" else match[0]


def parse(argv: tuple[str, ...], exe: str = "") -> CommandLine:
    """Take a command line apart. `exe` names the program where argv does not: argv[0] is what the caller liked it to be."""
    if not argv:
        return CommandLine((Command(name_of(exe), (exe,), ""),) if exe else ())
    found: list[Command] = []
    called = name_of(argv[0])
    own = Command.of((exe, *argv[1:]) if exe and not (name_of(exe) == "busybox" != called) else argv)
    script, module, code = _take(own, found, 0)
    if called != own.name:  # a program of many names (busybox, kmod), or one that lies: judged under both
        found.insert(1, Command(called, argv, own.text))
        if own.name not in INTERPRETERS and own.name not in SHELLS:
            _take(found[1], found, 1)
            found = list(dict.fromkeys(found))
    return CommandLine(tuple(found[:_COMMANDS_MAX]), script, module, code)


# Appends the command and what it runs; returns script, module and code of the innermost interpreter.
def _take(command: Command, found: list[Command], depth: int) -> tuple[str, str, str]:
    found.append(command)
    if depth >= _DEPTH_MAX or len(found) >= _COMMANDS_MAX:
        return "", "", ""
    name = command.name
    if name in SHELLS:
        return _take_shell(command, found, depth)
    if name in INTERPRETERS:
        script, module, code = _interpreted(command)
        _take_script(script, command, found)
        return script, module, code
    inner = _wrapped(command)
    if inner:
        return _take(Command.of(inner), found, depth + 1)
    return "", "", ""


def _take_shell(command: Command, found: list[Command], depth: int) -> tuple[str, str, str]:
    words = command.words[1:]
    if command.name == "busybox" and words and not words[0].startswith("-"):
        return _take(Command.of(words), found, depth + 1)
    wants_code = False
    for index, word in enumerate(words):
        if word in ("-o", "+o", "-O", "--rcfile", "--init-file"):
            continue
        if index and words[index - 1] in ("-o", "+o", "-O", "--rcfile", "--init-file"):
            continue
        if word.startswith(("-", "+")) and word not in ("-", "--"):
            wants_code = wants_code or ("c" in word and not word.startswith("--"))
            continue
        if word in ("-", "--"):
            continue
        if not wants_code:
            _take_script(word, command, found)
            return word, "", ""
        return _take_text(word, found, depth)
    return "", "", ""


# The script is a command like any other: what is known of LinEnum.sh does not depend on the shell before it.
def _take_script(script: str, command: Command, found: list[Command]) -> None:
    if script and script in command.words:
        found.append(Command.of(command.words[command.words.index(script) :]))


def _take_text(text: str, found: list[Command], depth: int) -> tuple[str, str, str]:
    text = bounded(text)
    script = module = ""
    for words in split_shell(text):
        start = next((i for i, word in enumerate(words) if not _ASSIGNMENT.match(word) and word not in _KEYWORDS), len(words))
        if words[start:]:
            inner = _take(Command.of(words[start:]), found, depth + 1)
            script, module = script or inner[0], module or inner[1]
    for match in _SUBSTITUTION.finditer(text):
        if len(found) < _COMMANDS_MAX and depth < _DEPTH_MAX:
            _take_text(match[1] or match[2], found, depth + 1)
    return script, module, text


# Options of interpreters that take the next word.
_VALUED = {
    "python": frozenset({"-W", "-X", "--check-hash-based-pycs"}),
    "perl": frozenset({"-I"}),
    "ruby": frozenset({"-I", "-r", "-C", "-E"}),
    "node": frozenset({"-r", "--require", "--import", "--loader", "--max-old-space-size"}),
    "php": frozenset({"-d", "-c", "-z", "-S", "-t"}),
    "java": frozenset(
        {"-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-modules", "--add-opens", "--add-exports", "--add-reads"}
    ),
}
_CODE = {
    "python": frozenset({"-c"}),
    "perl": frozenset({"-e", "-E", "-ne", "-pe", "-nle", "-le", "-lne", "-lpe", "-pi", "-Mre", "-MIO", "-MSocket"}),
    "ruby": frozenset({"-e", "-rsocket", "-ne", "-pe"}),
    "node": frozenset({"-e", "--eval", "-p", "--print", "-pe"}),
    "php": frozenset({"-r", "-B", "-R", "-E"}),
    "lua": frozenset({"-e"}),
    "luajit": frozenset({"-e"}),
    "deno": frozenset({"eval"}),
    "gjs": frozenset({"-c"}),
    "Rscript": frozenset({"-e"}),
    "guile": frozenset({"-c"}),
}
_NONE: frozenset[str] = frozenset()


def _interpreted(command: Command) -> tuple[str, str, str]:
    words, name = command.words, command.name
    valued, code = _VALUED.get(name, _NONE), _CODE.get(name, _NONE)
    index = 1
    while index < len(words):
        word = words[index]
        if word in code or (name == "perl" and re.fullmatch(r"-[lanpwiTt0]*[eE]", word)):
            return "", "", " ".join(words[index + 1 : index + 2])
        if (name == "python" and word == "-m") or (name == "java" and word == "-jar"):
            value = words[index + 1] if index + 1 < len(words) else ""
            return (value, "", "") if name == "java" else ("", value, "")
        if not word.startswith("-") or word == "-":
            if name == "java":
                return "", word, ""
            if name in ("deno", "bun", "dotnet") and word in ("run", "exec", "x"):
                index += 1
                continue
            # `bun test`, `deno task dev`: an order to the tool, or a task of its project
            no_file = word == "-" or (name in ("deno", "bun") and "." not in word and "/" not in word)
            return ("" if no_file else word), "", ""
        if word.startswith("-m") and name == "python" and len(word) > len("-m"):
            return "", word[2:], ""
        index += 2 if word in valued else 1
    return "", "", ""


def _wrapped(command: Command) -> list[str]:
    words, name = command.words, command.name
    if name == "find":
        return _after(words, ("-exec", "-execdir", "-ok", "-okdir"))
    if name in ("su", "script", "start-stop-daemon"):
        return _told_by_option(words, name)
    options, positional = _WRAPPERS.get(name, (_NONE, 0))
    if _LOADER.match(words[0].rpartition("/")[2]):
        options = _LOADER_OPTIONS
    elif name not in _WRAPPERS:
        return []
    index = 1
    while index < len(words):
        word, following = words[index], words[index + 1 : index + 2]
        if (name, word) in _TEXT_FOLLOWS:
            return ["sh", "-c", *following]
        if word != "--" and (len(word) <= 1 or word[0] != "-") and not _ASSIGNMENT.match(word):
            return list(words[index + positional :])
        index += 2 if word in options else 1
    return []


_TEXT_FOLLOWS = frozenset({("env", "-S"), ("env", "--split-string"), ("flock", "-c"), ("watch", "-x")})
_LOADER_OPTIONS = frozenset({"--library-path", "--preload", "--argv0", "--audit"})


def _after(words: tuple[str, ...], options: tuple[str, ...]) -> list[str]:
    for index, word in enumerate(words):
        if word in options:
            inner = list(words[index + 1 :])
            return next((inner[:i] for i, w in enumerate(inner) if w in (";", "\\;", "+")), inner)
    return []


def _told_by_option(words: tuple[str, ...], name: str) -> list[str]:
    for index, word in enumerate(words[:-1]):
        if word in ("-c", "--command") and name in ("su", "script"):
            return ["sh", "-c", words[index + 1]]
        if word in ("-x", "-a", "--exec", "--startas") and name == "start-stop-daemon":
            return [words[index + 1], *words[words.index("--") + 1 :]] if "--" in words else [words[index + 1]]
    return []
