"""The words of a command line, each seen in its place: after which option, of which program, in which shell."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

from brainkernel.classify.redact_names import CERTAIN, REDACTED, is_reference, is_secret, looks_random, strength_of
from brainkernel.classify.redact_programs import NO_CONVENTIONS, READERS, SHELLS, WRAPPERS, Conventions, conventions_of
from brainkernel.classify.redact_shell import Command, commands_of
from brainkernel.classify.redact_text import without_header, without_secrets

_DEPTH_MAX = 4  # shells within shells
_COMMANDS_MAX = 1000  # of one shell text; the rest is only seen as text
_PROGRAM_WORDS_MAX = 512  # a program is looked for in the first words only
_OPTION = re.compile(r"--?[A-Za-z][\w.-]{0,80}")
_PATH = re.compile(r"/(?!/)|~|\./|\.\./")
_NAMED_LOGIN = re.compile(r"(?:username|user|role|role_id|mount|path|login|name)=")
_TELLING_COMMAND = re.compile(r"(?P<keep>(?:\S{0,64}/)?(?:echo|printf)\s{1,4}(?:-n\s{1,4})?)(?P<secret>.+)", re.DOTALL)
_BUNDLE = re.compile(r"-[A-Za-z]{2,5}")
_LONG = re.compile(r"(?P<name>(?:--?|/)[A-Za-z][\w.:-]{0,120}?)(?P<equals>=|:=)(?P<value>.*)", re.DOTALL)
_LOOKS_LIKE_OPTION = re.compile(r"--[a-z][a-z0-9-]*(?:=.*)?|-[A-Za-z]", re.DOTALL)
_PORTS = re.compile(r"(?:[\d.]{7,15}:)?\d{1,5}(?::\d{1,5})?(?:-\d{1,5})?(?:/\w{3,4})?")
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=")
_INTERPRETER = re.compile(r"(?:python|perl|ruby|php|node|nodejs|java|pypy)[\d.]*")
_SCRIPT_SUFFIX = re.compile(r"\.(?:py|pl|rb|js|mjs|php|phar|sh)$")
_SHELL_C = re.compile(r"-[A-Za-z]{0,6}c[A-Za-z]{0,3}|--command")
_HEADER_OPTION = re.compile(r"-H|--?(?:proxy-|http-|add-|extra-)?headers?")
_READS_STDIN = re.compile(
    r"(?:.{0,40}-)?(?:pass\w{0,8}|token|secret|key)-?(?:on-)?stdin|--with-token|--passphrase-fd|--pass(?:word)?-fd|stdin|fd:0"
)
_BARE_FLAGS = frozenset("-i -t -it -ti -S -n -E -H -d -A -T -v -x -f -a -q -tt -- -xe -e".split())
_PRINTERS = frozenset(("echo", "printf", "print", "builtin"))
_SHELL_WORDS = _PRINTERS | {"export", "set", "declare", "local", "readonly", "cd", "source", ".", "[", "test", "for", "cat", "setenv"}
_SETTERS = frozenset(("set", "config", "configure", "config:set", "set-env", "setenv"))
_PASS_SOURCE = re.compile(r"(?P<keep>(?:pass(?:word)?|key|hexkey|hexpass|hexsalt|\w{1,32}:password):)(?P<secret>.+)", re.DOTALL)


@dataclass(slots=True)
class _Run:
    """One program's part of the words, while it is looked through."""

    words: list[str]
    out: list[str]
    start: int
    end: int
    program: str
    conventions: Conventions
    wrapped: bool
    present: frozenset[str]
    depth: int
    plain: list[int] = field(default_factory=list)  # the words that are neither options nor their values
    done: set[int] = field(default_factory=set)  # words of which nothing more is to be said

    def put(self, index: int, text: str) -> None:
        if text != self.words[index]:
            self.out[index] = text
        self.done.add(index)


def redacted_words(words: list[str], depth: int = 0) -> list[str]:
    """The words with the secrets replaced that their place or their text gives away; as many as came."""
    out = list(words)
    runs = _runs(words, out, depth)
    done: set[int] = set()
    for run in runs:
        _look_through(run)
        _plain_words(run)
        done |= run.done
    for index, word in enumerate(out):
        if index not in done:
            out[index] = _redacted_text(word, depth)
    return out


def _redacted_text(word: str, depth: int) -> str:
    if depth < _DEPTH_MAX and any(c in word for c in " \t\n"):
        shown, is_shell = _redacted_shell(word, depth, certain=False)
        return without_secrets(shown, whole=not is_shell)
    return without_secrets(word)


# Programs ------------------------------------------------------------------------------------------------------------


def _runs(words: list[str], out: list[str], depth: int) -> list[_Run]:
    found: list[tuple[int, str, bool]] = []
    first = next((i for i, w in enumerate(words) if not _ASSIGNED.match(w)), 0) if depth else 0
    if words:
        found.append((first, _name_of(words[first]), False))
    runs_others = bool(found) and _runs_others(found[-1][1])
    script_due = bool(found) and bool(_INTERPRETER.fullmatch(found[-1][1]))
    for index in range(first + 1, min(len(words), _PROGRAM_WORDS_MAX)):
        word, before = words[index], words[index - 1]
        if not (runs_others or script_due) or word.startswith("-") or _ASSIGNED.match(word):
            continue
        name = _name_of(word)
        if script_due and (
            before == "-m" or not before.startswith("-") or before in ("-jar", "-u", "-B", "-s", "-E", "-I", "-S", "-w", "-T")
        ):
            script_due = False
            found.append((index, name, False))
            runs_others = name in WRAPPERS
        elif (
            runs_others
            and _may_be_program(before)
            and (conventions_of(name) or name in WRAPPERS or name in SHELLS or _INTERPRETER.fullmatch(name))
        ):
            found.append((index, name, True))
            runs_others = _runs_others(name)
            script_due = bool(_INTERPRETER.fullmatch(name))
    ends = [start for start, _, _ in found[1:]] + [len(words)]
    return [
        _run(words, out, start, end, name, wrapped=wrapped, depth=depth) for (start, name, wrapped), end in zip(found, ends, strict=True)
    ]


def _run(words: list[str], out: list[str], start: int, end: int, name: str, *, wrapped: bool, depth: int) -> _Run:
    letters = (f"-{c}" for w in words[start:end] if _BUNDLE.fullmatch(w) for c in w[1:])
    present = frozenset((name, *words[start:end], *letters))
    return _Run(words, out, start, end, name, conventions_of(name) or NO_CONVENTIONS, wrapped, present, depth)


def _name_of(word: str) -> str:
    name = word.rpartition("/")[2].removesuffix(".exe")
    if conventions_of(name) is None:
        bare = _SCRIPT_SUFFIX.sub("", name)
        return bare if conventions_of(bare) else name
    return name


def _runs_others(name: str) -> bool:
    return name in WRAPPERS or name in SHELLS


def _may_be_program(before: str) -> bool:
    # After an option stands its value ("--name mongo"), unless the option is one that takes none.
    return not before.startswith("-") or before in _BARE_FLAGS


# Options -------------------------------------------------------------------------------------------------------------

_VALUE_CLAUSES = ("value", "colon", "percent", "comma", "source", "header", "cookie", "literal", "literal_data", "at")


def _look_through(run: _Run) -> None:
    index = run.start + 1
    options = _options_of(run)
    while index < run.end:
        index += _option(run, index, options)


def _options_of(run: _Run) -> dict[str, str]:
    # plain, flag and takes come last: they take back what a family has in general.
    return {
        a: c for c in (*_VALUE_CLAUSES, "attached", "plain", "flag", "takes") for a in run.conventions.of(c, run.present) if a[:1] in "-+"
    }


def _option(run: _Run, index: int, options: dict[str, str]) -> int:
    word = run.words[index]
    following = run.words[index + 1] if index + 1 < run.end else None
    if _is_shell_text(run, index):
        run.put(index, _redacted_shell(word, run.depth, certain=True)[0])
        run.out[index] = without_secrets(run.out[index], whole=False)
        return 1
    if word[:1] not in "-/+" or len(word) < 2:  # noqa: PLR2004 # "-" is stdin
        run.plain.append(index)
        return 1
    option = _named(word, options, run)
    if option is not None:
        return _take(run, index, following, option, options[option])
    if word.startswith("/"):
        if not _slash_option(run, index):
            run.plain.append(index)
        return 1
    return _general_option(run, index, following)


def _named(word: str, options: dict[str, str], run: _Run) -> str | None:
    if word in options:
        return word
    name, equals, _ = word.partition("=")
    if equals and options.get(name, "flag") not in ("flag", "attached"):
        return name
    short = word[:2]
    if short in options and word[1] != "-" and options[short] not in ("flag", "plain", "takes") and _takes_attached(short, options):
        return short
    letters = next(iter(run.conventions.clauses.get("bundle", ())), "")
    if letters and word[0] == "-" and len(word) <= 8 and f"-{word[-1]}" in options and all(c in letters for c in word[1:-1]):  # noqa: PLR2004
        return f"-{word[-1]}"
    return next((o for o, c in options.items() if c == "attached" and word.startswith(o)), None)


def _takes_attached(short: str, options: dict[str, str]) -> bool:
    # Programs with long options behind a single dash (openssl -keyout) attach no values to short ones.
    return options[short] == "attached" or not any(len(o) > 2 and o[1] != "-" for o in options)  # noqa: PLR2004


def _take(run: _Run, index: int, following: str | None, option: str, clause: str) -> int:  # noqa: PLR0911 # one for each form
    word = run.words[index]
    if clause in ("flag", "takes", "plain", "attached") and word == option:
        if clause in ("flag", "attached"):
            return 1
        if clause == "plain" and following is not None and not following.startswith("-") and strength_of(option):
            run.done.add(index + 1)
        return 2
    if clause in ("plain", "flag", "takes"):
        if strength_of(option):
            run.done.add(index)
        return 1
    if word.startswith(f"{option}="):
        run.put(index, f"{option}={_value_by(clause, word[len(option) + 1 :], run)}")
        return 1
    if word == option or word[:2] != option[:2]:  # alone, or at the end of a bundle
        if following is None or (_LOOKS_LIKE_OPTION.fullmatch(following) and clause != "header"):
            return 1
        run.put(index + 1, _value_by(clause, following, run))
        return 2
    run.put(index, option + _value_by("value" if clause == "attached" else clause, word[len(option) :], run))
    return 1


def _value_by(clause: str, value: str, run: _Run) -> str:  # noqa: PLR0911 # one for each clause
    if clause == "value":
        ports = run.wrapped and _PORTS.fullmatch(value)
        return value if ports or is_reference(value) else REDACTED
    if clause == "header":
        return without_header(value)
    if clause == "cookie":
        return REDACTED if "=" in value else value
    if clause == "literal":
        name, equals, secret = value.partition("=")
        return f"{name}={REDACTED}" if equals and not is_reference(secret) else value
    if clause == "literal_data":
        return re.sub(r"((?:^|,)data=)[^,]{1,4096}", rf"\1{REDACTED}", value) if value.startswith("secret") else value
    if clause == "source":
        match = _PASS_SOURCE.fullmatch(value)
        return match["keep"] + REDACTED if match and not is_reference(match["secret"]) else value
    if clause == "at":
        secret, at, host = value.rpartition("@")
        return f"{REDACTED}@{host}" if at else value
    return _login_by({"colon": ":", "percent": "%", "comma": ","}[clause], value)


def _login_by(separator: str, value: str) -> str:
    user, found, secret = value.partition(separator)
    if "://" in value or value.startswith("//"):
        return without_secrets(value)
    if not found or is_reference(secret):
        return REDACTED + found + secret if looks_random(user) else value
    if separator == ":" and user.isdecimal() and secret.isdecimal():
        return value  # a uid and a gid
    return f"{REDACTED if looks_random(user) else user}{separator}{REDACTED}"


def _slash_option(run: _Run, index: int) -> bool:
    word = run.words[index]
    name, colon, value = word[1:].partition(":")
    if colon and name in run.conventions.of("slashopt", run.present) and not is_reference(value):
        run.put(index, f"/{name}:{REDACTED}")
        return True
    return False


def _general_option(run: _Run, index: int, following: str | None) -> int:
    word = run.words[index]
    if long := _LONG.fullmatch(word):
        name, value = long["name"], long["value"]
        if _HEADER_OPTION.fullmatch(name):
            run.put(index, f"{name}={without_header(value)}")
        elif "pass" in name and name.endswith(("eval", "command", "cmd")) and (telling := _TELLING_COMMAND.fullmatch(value)):
            run.put(index, f"{name}={telling['keep']}{REDACTED}")
        elif "://" not in value and is_secret(name, value):
            run.put(index, f"{name}{long['equals']}{REDACTED}")
        return 1
    if following is None or not _OPTION.fullmatch(word):
        return 1
    if _HEADER_OPTION.fullmatch(word) and ":" in following:
        run.put(index + 1, without_header(following))
        return 2
    if strength_of(word) == 0 or len(word) <= 2 or _LOOKS_LIKE_OPTION.fullmatch(following):  # noqa: PLR2004 # "-p"
        return 1
    if is_secret(word, following):
        shown = without_secrets(following) if "://" in following or "=" in following else following
        run.put(index + 1, shown if shown != following and "<" in shown else REDACTED)
    return 2 if index + 1 in run.done else 1


# Plain words ---------------------------------------------------------------------------------------------------------


def _plain_words(run: _Run) -> None:
    plain = [i for i in run.plain if i not in run.done]
    conventions, present = run.conventions, run.present
    for argument in conventions.of("word", present):
        condition = conventions.clauses["word"][argument]
        at = next((n for n, i in enumerate(plain) if run.words[i] == condition), -1)
        for number in argument.split(","):
            _redact_nth(run, plain[at + 1 :], int(number))
    for argument in conventions.of("after", present):
        key, _, numbers = argument.rpartition(":")
        found = next((n for n, i in enumerate(plain) if run.words[i] == key or run.words[i].endswith(f".{key}")), None)
        start = _after(run, plain, key) if found is None else plain[found + 1 :]
        for number in numbers.split(","):
            _redact_nth(run, start, int(number))
    if conventions.holds("slash", "any", present):
        for index in plain:
            _redact_slash_login(run, index)
    if conventions.holds("colon", "first", present) and plain:
        words = [i for i in plain if ":" in run.words[i]]
        for index in words[:1]:
            run.put(index, without_secrets(run.words[index]))
            if run.out[index] == run.words[index]:
                run.put(index, _login_by(":", run.words[index]))
    _lists(run, plain)
    _settings(run, plain)


def _after(run: _Run, plain: list[int], key: str) -> list[int]:
    # The key may be an option ("--encrypt user owner 256 --") or begin with a plus ("+login").
    at = next((i for i in range(run.start + 1, run.end) if run.words[i] == key), None)
    if at is None:
        return []
    end = run.end if key[0] != "+" else next((i for i in range(at + 1, run.end) if run.words[i][:1] == "+"), run.end)
    return [i for i in range(at + 1, end) if i in plain or not run.words[i].startswith("-")]


def _redact_nth(run: _Run, plain: list[int], number: int) -> None:
    try:
        index = plain[number - 1 if number > 0 else number]
    except IndexError:
        return
    if not is_reference(run.words[index]) and not _NAMED_LOGIN.match(run.words[index]):
        run.put(index, REDACTED)


def _redact_slash_login(run: _Run, index: int) -> None:
    # sqlplus user/secret@db, userid=user/secret; "/ as sysdba" and "/@db" have none, and neither has a path.
    match = re.fullmatch(
        r"(?P<keep>(?:\w{1,16}=)?[\w$#.-]{1,64}(?:\[\w{1,64}\])?/)(?P<secret>[^/\s][^\s]{0,256}?)(?P<db>@[\w.:/-]{1,253})?",
        run.words[index],
    )
    if match and not is_reference(match["secret"]):
        run.put(index, f"{match['keep']}{REDACTED}{match['db'] or ''}")


def _lists(run: _Run, plain: list[int]) -> None:
    conventions, present = run.conventions, run.present
    keys = conventions.of("all", present)
    if any(k in present for k in keys):
        for index in plain:
            name, equals, value = run.words[index].partition("=")
            if equals and (strength_of(name) or "create" not in keys) and not is_reference(value) and not value.isdecimal():
                run.put(index, f"{name}={REDACTED}")
    if any(k in present for k in conventions.of("pairs", present)):
        for key, index in pairwise(plain):
            if is_secret(run.words[key], run.words[index]) and "=" not in run.words[key]:
                run.put(index, REDACTED)
    for prefix in conventions.of("last", present):
        if any(run.words[i].startswith(prefix) for i in plain[:-1]) and not is_reference(run.words[plain[-1]]):
            run.put(plain[-1], REDACTED)


def _settings(run: _Run, plain: list[int]) -> None:
    # "config set NAME SECRET", of whatever program: npm, git, yarn, gcloud, uci, ...
    seen_setter = False
    for key, index in pairwise(plain):
        seen_setter = seen_setter or run.words[key] in _SETTERS
        name = run.words[key]
        if seen_setter and "=" not in name and not _PATH.match(name) and strength_of(name) == CERTAIN and is_secret(name, run.words[index]):
            run.put(index, REDACTED)


# Shells --------------------------------------------------------------------------------------------------------------


def _is_shell_text(run: _Run, index: int) -> bool:
    if run.depth >= _DEPTH_MAX or run.words[index].startswith("-"):
        return False
    before = run.words[index - 1]
    if run.program in SHELLS or run.program in ("su", "script", "runuser", "flock", "tmux", "screen"):
        return bool(_SHELL_C.fullmatch(before))
    return run.program in ("ssh", "watch", "eval", "autossh", "mosh") and " " in run.words[index]


def _redacted_shell(text: str, depth: int, *, certain: bool) -> tuple[str, bool]:
    # `certain`: this is shell text; else only what begins with a program we know is taken for it.
    commands = commands_of(text)
    changes: list[tuple[int, int, str]] = []
    is_shell = certain
    for number, command in enumerate(commands[:_COMMANDS_MAX]):
        values = [w.value for w in command.words]
        if not certain and not _begins_with_program(values):
            continue
        is_shell = True
        shown = redacted_words(values, depth + 1)
        reader = commands[number + 1] if number + 1 < len(commands) and commands[number + 1].operator == "|" else None
        if reader is not None and _name_of(values[0]) in _PRINTERS and (program := _reads_secret(reader)):
            shown = [shown[0], *(_printed(v, program) for v in values[1:])]
        if command.operator == "<<<" and number and _reads_secret(commands[number - 1]):
            shown = [REDACTED, *shown[1:]]
        changes += ((w.start, w.end, w.quote + new + w.quote) for w, new in zip(command.words, shown, strict=True) if new != w.value)
    for start, end, new in reversed(changes):
        text = text[:start] + new + text[end:]
    return text, is_shell


def _begins_with_program(values: list[str]) -> bool:
    first = next((v for v in values if not _ASSIGNED.match(v)), None)
    if re.match(r"[A-Z_][A-Z0-9_]+=", values[0]):
        return True
    if first is None:
        return False  # assignments alone: text says as much about them, and it may be another language
    name = _name_of(first)
    return (
        conventions_of(name) is not None or name in WRAPPERS or name in SHELLS or name in _SHELL_WORDS or bool(_INTERPRETER.fullmatch(name))
    )


def _reads_secret(command: Command) -> str:
    values = [w.value for w in command.words]
    names = [_name_of(v) for v in values]
    for name in names:
        if name in READERS:
            return name
    if names[0] in ("sudo", "doas") and any(v.startswith("-") and "S" in v for v in values[1:3]):
        return "sudo"
    return "other" if any(_READS_STDIN.fullmatch(v) for v in values) else ""


def _printed(value: str, program: str) -> str:
    if value.startswith("-") or is_reference(value) or re.fullmatch(r"(?:%s|\\n|\s)+", value):
        return value
    if program in ("chpasswd", "chgpasswd", "newusers"):
        return _login_by(":", value) if ":" in value else REDACTED
    return REDACTED
