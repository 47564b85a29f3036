"""The words of a command line, each seen in its place: after which option, of which program, in which shell."""

from __future__ import annotations

import re

from brainkernel.classify.redact_names import CERTAIN, REDACTED, is_bare_secret, is_reference, looks_chosen, looks_random, strength_of
from brainkernel.classify.redact_options import Run, login_by, look_through
from brainkernel.classify.redact_plain import look_at_plain_words
from brainkernel.classify.redact_programs import NO_CONVENTIONS, READERS, SHELLS, WRAPPERS, conventions_of
from brainkernel.classify.redact_shell import Command, commands_of
from brainkernel.classify.redact_text import without_secrets

_DEPTH_MAX = 4  # shells within shells
_COMMANDS_MAX = 1000  # of one shell text; the rest is only seen as text
_GROUP_MAX = 16  # printers in one group; keeps time linear
_PROGRAM_WORDS_MAX = 512  # a program is looked for in the first words only
_BUNDLE = re.compile(r"-[A-Za-z]{2,5}")
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=")
_FILE_OF_SECRETS = re.compile(
    r"(?i)(?:^|[/._-])(?:secrets?|passwords?|passwd|pw|credentials?|pgpass|netrc|htpasswd|token|psk|passphrase|keyfile|chap-secrets|pap-secrets)(?:\.(?:txt|conf|cfg))?$"
)
_CALLED = re.compile(  # system("mysql -pSECRET")
    r"(?P<call>\b(?:system|exec\w{0,4}|popen|spawn\w{0,4}|shell_exec|passthru|run|call|check_output|check_call)\(\s{0,3}(?P<quote>[\"']))"
    r"(?P<command>[^\"'\\]{4,4000})(?=(?P=quote))"
)
_TYPED = re.compile(r"[\w-]*[!#%&~+@][\w!#%&~+@:-]*")  # by a person, and nothing in a program's language
_DIRECTIVE = re.compile(r"(?:(?P<name>[A-Za-z_][\w.-]{0,60})[\"']?\s{0,2}[=: ]\s{0,2}[\"']?)?%[sbq]")
_FILE_SUFFIX = re.compile(r"[-_]?(?:file|path|source|from)$")
_LAST_WORD = re.compile(r"[^\s:]{3,}\s*$")
_NAMED = re.compile(r"-{0,2}[^\W\d][\w.:-]{0,120}")
_INTERPRETER = re.compile(r"(?:python|perl|ruby|php|node|nodejs|java|pypy)[\d.]*")
_SCRIPT_SUFFIX = re.compile(r"\.(?:py|pl|rb|js|mjs|php|phar|sh)$")
_READS_STDIN = re.compile(
    r"(?:.{0,40}-)?(?:pass\w{0,8}|token|secret|key)-?(?:on-)?stdin|--with-token|--passphrase-fd|--pass(?:word)?-fd|-{0,2}stdin|fd:0"
)
_KEEPS = frozenset("create add set put import insert versions".split())  # docker secret create NAME -
_BARE_FLAGS = frozenset("-i -t -it -ti -S -n -E -H -d -A -T -v -x -f -a -q -tt -- -xe -e".split())
_PUBLIC = ("peer", "public-key", "pubkey", "-rsa", "-ed25519")  # after these stands a key that everybody may know
_ATTACHED = re.compile(r"--[\w-]+=.*|-[A-Za-z][^A-Za-z-].*", re.DOTALL)  # -I{}, -n1: the value is in it
_PRINTERS = frozenset(("echo", "printf", "print", "yes"))
_SHELL_WORDS = _PRINTERS | {"export", "set", "declare", "local", "readonly", "cd", "source", ".", "[", "test", "for", "cat", "setenv"}


def redacted_words(words: list[str], depth: int = 0) -> list[str]:
    """The words with the secrets replaced that their place or their text gives away; as many as came."""
    out = list(words)
    runs = _runs(words, out, depth) if words else []
    done: set[int] = set()
    for run in runs:
        look_through(run)
        look_at_plain_words(run)
        for index in run.shell_texts if depth < _DEPTH_MAX else ():
            run.put(index, without_secrets(_redacted_shell(words[index], depth, certain=True)[0], whole=False))
        done |= run.done
    for index, word in enumerate(out):
        if index not in done:
            public = index > 0 and words[index - 1].endswith(_PUBLIC)
            head, equals, tail = word.partition("=")
            if not public and is_bare_secret(word):
                out[index] = REDACTED
            elif not public and equals and _NAMED.fullmatch(head) and is_bare_secret(tail):
                out[index] = f"{head}={REDACTED}"
            elif equals and " " in tail and _NAMED.fullmatch(head):  # ssh_command=sshpass -p SECRET ssh
                out[index] = _redacted_text(f"{head}={_redacted_inner(tail, depth)}", depth)
            else:
                out[index] = _redacted_text(word, depth)
    return out


def _redacted_inner(text: str, depth: int) -> str:
    return _redacted_shell(text, depth, certain=False)[0] if depth < _DEPTH_MAX else text


def _redacted_text(word: str, depth: int) -> str:
    if depth < _DEPTH_MAX and (" " in word or "\t" in word or "\n" in word):
        word = _CALLED.sub(lambda m: m["call"] + _redacted_inner(m["command"], depth), word) if "(" in word else word
        shown, is_shell = _redacted_shell(word, depth, certain=False)
        return without_secrets(shown, whole=not is_shell)
    return without_secrets(word)


def _runs(words: list[str], out: list[str], depth: int) -> list[Run]:
    first = next((i for i, w in enumerate(words) if not _ASSIGNED.match(w)), 0) if depth else 0
    found = [(first, _name_of(words[first]), False)]
    runs_others = _runs_others(found[-1][1])
    script_due = bool(_INTERPRETER.fullmatch(found[-1][1]))
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
    return [_run(words, out, start, end, name, wrapped=wrapped) for (start, name, wrapped), end in zip(found, ends, strict=True)]


def _run(words: list[str], out: list[str], start: int, end: int, name: str, *, wrapped: bool) -> Run:
    letters = (f"-{c}" for w in words[start:end] if _BUNDLE.fullmatch(w) for c in w[1:])
    present = frozenset((name, *words[start:end], *letters))
    return Run(words, out, start, end, name, conventions_of(name) or NO_CONVENTIONS, wrapped, present)


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
    return not before.startswith("-") or before in _BARE_FLAGS or bool(_ATTACHED.fullmatch(before))


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
        if _is_printer(command):
            shown = _shown_by_printer(commands, number, shown)
        if command.operator == "<<<" and number and (_reads_secret(commands[number - 1]) or _is_typed(values[0])):
            shown = [REDACTED, *shown[1:]]
        changes += ((w.start, w.end, w.quote + new + w.quote) for w, new in zip(command.words, shown, strict=True) if new != w.value)
    for start, end, new in reversed(changes):
        text = text[:start] + new + text[end:]
    return text, is_shell


def _is_typed(value: str) -> bool:
    return bool(_TYPED.fullmatch(value)) and looks_chosen(value)


def _is_printer(command: Command) -> bool:
    values = [w.value for w in command.words[:2]]
    return _name_of(values[-1] if values[0] == "{" else values[0]) in _PRINTERS


def _shown_by_printer(commands: list[Command], number: int, shown: list[str]) -> list[str]:
    values = [w.value for w in commands[number].words]
    program = _reader_of(commands, number)
    if program:
        shown = [shown[0], *(_printed(v, program) for v in values[1:])]
    if commands[number].operator == "(" and number and _is_fed_a_secret(commands[number - 1], values[-1]):
        shown = [shown[0], *(_printed(v, "other") for v in values[1:])]
    shown = _formatted(values, shown)
    if kept := _kept_in(values):
        shown = [_LAST_WORD.sub(REDACTED, s) if 0 < n < kept and not is_reference(s) else s for n, s in enumerate(shown)]
    return shown


# printf "user=%s pass=%s" NAME SECRET
def _formatted(values: list[str], shown: list[str]) -> list[str]:
    at = next((n for n, v in enumerate(values[:3]) if "%" in v), 0)
    if not at:
        return shown
    shown = list(shown)
    for place, directive in enumerate(_DIRECTIVE.finditer(values[at]), start=at + 1):
        if directive["name"] and strength_of(directive["name"]) == CERTAIN and place < len(shown) and not is_reference(values[place]):
            shown[at], shown[place] = values[at], REDACTED
    return shown


# Who reads what is printed, if it reads a secret: also after the other printers of a group, "(echo A; echo B) | passwd".
def _reader_of(commands: list[Command], number: int) -> str:
    grouped = False
    for command in reversed(commands[max(0, number - _GROUP_MAX) : number + 1]):
        grouped = command.operator.endswith("(") or command.words[0].value == "{"
        if grouped or not _is_printer(command):
            break
    end = number + 1
    last = min(len(commands), number + _GROUP_MAX)
    while grouped and end < last and (_is_printer(commands[end]) or commands[end].words[0].value == "}"):
        end += 1
    return _reads_secret(commands[end]) if end < len(commands) and commands[end].operator.endswith("|") else ""


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
    if values[0] == "read" and any(v.startswith("-") and "s" in v for v in values[1:3]):
        return "other"
    if "login" in values or (values[-1].startswith("-") and strength_of(values[-1]) == CERTAIN):
        return "other"
    keeps = any(v in ("secret", "secrets") for v in values[1:]) and _KEEPS.intersection(values[1:])
    return "other" if keeps or any(_READS_STDIN.fullmatch(v) for v in values) else ""


# echo "https://host user SECRET" >> /etc/davfs2/secrets: where the words end that are written into a file of secrets; 0 if none is
def _kept_in(values: list[str]) -> int:
    at = next((n for n, v in enumerate(values) if v.lstrip("12") in (">", ">>") and n + 1 < len(values)), 0)
    return at if at and _FILE_OF_SECRETS.search(values[at + 1]) else 0


# wg set wg0 private-key <(echo SECRET), --password-file=<(printf %s SECRET)
def _is_fed_a_secret(command: Command, printed: str) -> bool:
    values = [w.value for w in command.words]
    if not values[-1].endswith("<"):
        return False
    name = values[-1].removesuffix("<").rstrip("=") or (values[-2] if len(values) > 1 else "")
    return strength_of(_FILE_SUFFIX.sub("", name)) == CERTAIN or looks_chosen(printed) or looks_random(printed)


def _printed(value: str, program: str) -> str:
    if value.startswith("-") or is_reference(value) or re.fullmatch(r"(?:%s|\\n|\s)+", value):
        return value
    if program in ("chpasswd", "chgpasswd", "newusers"):
        return login_by(":", value) if ":" in value else REDACTED
    return REDACTED
