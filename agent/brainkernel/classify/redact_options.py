"""Options and their values: which of them the program, the option's name or its form make a secret."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from brainkernel.classify.redact_names import (
    CERTAIN,
    LOGIN,
    LOGIN_NAME,
    REDACTED,
    is_mixed,
    is_reference,
    is_secret,
    is_short_key,
    looks_chosen,
    looks_random,
    strength_of,
)
from brainkernel.classify.redact_programs import NO_CONVENTIONS, SHELLS
from brainkernel.classify.redact_text import without_header, without_secrets

if TYPE_CHECKING:
    from brainkernel.classify.redact_programs import Conventions

_OPTION = re.compile(r"(?:--?|\+)[^\W\d_][\w.-]{0,80}")
_NO_PASSWORDS = ("x", "X", "api_token", "x-oauth-basic")  # the user name is the key then
_SETTING = re.compile(r"[A-Z][A-Za-z]+=")  # systemd-run -p CPUWeight=10
_USER_OPTION = re.compile(r"-[uUl]|--?user(?:name)?(?:=.*)?|--login|-D")
_TELLING_COMMAND = re.compile(r"(?P<keep>(?:\S{0,64}/)?(?:echo|printf)\s{1,4}(?:-n\s{1,4})?)(?P<secret>.+)", re.DOTALL)
_LONG = re.compile(r"(?P<name>(?:--?|/)[^\W\d_][\w.:-]{0,120}?)(?P<equals>=|:=)(?P<value>.*)", re.DOTALL)
_LOOKS_LIKE_OPTION = re.compile(r"--[a-z][a-z0-9-]*(?:=.*)?|-[A-Za-z]", re.DOTALL)
_PORTS = re.compile(r"(?:[\d.]{7,15}:)?\d{1,5}(?::\d{1,5})?(?:-\d{1,5})?(?:/\w{3,4})?")
_BUNDLE_CHARS_MAX = 8
_USER_WORDS_MAX = 64  # a user is looked for in the first words only: keeps time linear
_SHELL_C = re.compile(r"-[A-Za-z]{0,6}c[A-Za-z]{0,3}|--command")
_LISTED_PASSWORD = re.compile(r"(?:^|,)p:")  # /gateway:g:HOST,u:USER,p:SECRET
_SECRETIVE = ("-W", "-k", "-K", "-x", "-X", "-a", "-A", "-s", "-S")
_TYPED = re.compile(r"[\w!#%&~+@:-]+")
_UNLIKE_A_NAME = re.compile(r"[^\w./:,-]")
_HEADER_OPTION = re.compile(r"-H|--?(?:proxy-|http-|add-|extra-)?headers?")
_PASS_SOURCE = re.compile(r"(?P<keep>(?:(?:hex)?(?:pass(?:word)?|key|secret|salt)|\w{1,32}:password):)(?P<secret>.+)", re.DOTALL)


@dataclass(slots=True)
class Run:
    """One program's part of a command line, while it is looked through."""

    words: list[str]
    out: list[str]
    start: int
    end: int
    program: str
    conventions: Conventions
    wrapped: bool
    present: frozenset[str]
    plain: list[int] = field(default_factory=list)  # the words that are neither options nor their values
    shell_texts: list[int] = field(default_factory=list)  # words that a shell will run
    done: set[int] = field(default_factory=set)  # words of which nothing more is to be said

    def put(self, index: int, text: str) -> None:
        """Say what is to be shown for a word; nothing more is done about it then."""
        if text != self.words[index]:
            self.out[index] = text
        self.done.add(index)


_VALUE_CLAUSES = ("value", "colon", "percent", "comma", "source", "header", "cookie", "literal", "literal_data", "at")


def look_through(run: Run) -> None:
    """Go through the options of one program: redact their values, and note the plain words and the shell texts."""
    index = run.start + 1
    options = _options_of(run)
    while index < run.end:
        index += _option(run, index, options)


def _options_of(run: Run) -> dict[str, str]:
    # plain, flag and takes come last: they take back what a family has in general.
    clauses = run.conventions.clauses
    return {
        a: c
        for c in (*_VALUE_CLAUSES, "attached", "plain", "flag", "takes")
        if c in clauses
        for a in run.conventions.of(c, run.present)
        if a[:1] in "-+/"
    }


def _option(run: Run, index: int, options: dict[str, str]) -> int:
    word = run.words[index]
    following = run.words[index + 1] if index + 1 < run.end else None
    if _is_shell_text(run, index):
        run.shell_texts.append(index)
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


def _named(word: str, options: dict[str, str], run: Run) -> str | None:
    if word in options:
        return word
    name, equals, _ = word.partition("=")
    if equals and options.get(name, "flag") not in ("flag", "attached"):
        return name
    short = word[:2]
    if (
        short in options
        and word[0] != "/"
        and word[1] != "-"
        and options[short] not in ("flag", "plain", "takes")
        and _takes_attached(short, options)
    ):
        return short
    letters = next(iter(run.conventions.clauses.get("bundle", ())), "")
    if letters and word[0] == "-":
        last = next((c for c in word[1:_BUNDLE_CHARS_MAX] if c not in letters), word[-1])
        if f"-{last}" in options:
            return f"-{last}"
    return next((o for o, c in options.items() if c == "attached" and word.startswith(o)), None)


def _takes_attached(short: str, options: dict[str, str]) -> bool:
    # Programs with long options behind a single dash (openssl -keyout) attach no values to short ones.
    return options[short] == "attached" or not any(len(o) > 2 and o[1] != "-" for o in options)  # noqa: PLR2004


def _take(run: Run, index: int, following: str | None, option: str, clause: str) -> int:  # noqa: PLR0911 # one for each form
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
    clause = "value" if clause == "attached" else clause
    if word.startswith(f"{option}="):
        run.put(index, f"{option}={_value_by(clause, word[len(option) + 1 :], run)}")
        return 1
    start = len(option) if word.startswith(option) else word.index(option[1]) + 1  # behind other letters, in a bundle
    if start >= len(word):
        if following is None or (_LOOKS_LIKE_OPTION.fullmatch(following) and clause != "header"):
            return 1
        run.put(index + 1, _value_by(clause, following, run))
        return 2
    run.put(index, word[:start] + _value_by(clause, word[start:], run))
    return 1


def _value_by(clause: str, value: str, run: Run) -> str:  # noqa: PLR0911 # one for each clause
    if clause == "value":
        ports = run.wrapped and _PORTS.fullmatch(value)
        return value if ports or is_reference(value) else REDACTED
    if clause == "header":
        return without_header(value)
    if clause == "cookie":
        return re.sub(r"=[^;]+", f"={REDACTED}", value)
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
    return login_by({"colon": ":", "percent": "%", "comma": ","}[clause], value)


def login_by(separator: str, value: str) -> str:
    """Redact the second part of USER:SECRET; also the first, if that is a key that stands alone."""
    user, found, secret = value.partition(separator)
    if "://" in value or value.startswith("//"):
        return without_secrets(value)
    if secret in _NO_PASSWORDS or (found and not secret and is_mixed(user)):
        return f"{REDACTED}{separator}{secret}"
    if not found or is_reference(secret):
        return REDACTED + found + secret if looks_random(user) else value
    if separator == ":" and user.isdecimal() and secret.isdecimal():
        return value  # a uid and a gid
    return f"{REDACTED if looks_random(user) else user}{separator}{REDACTED}"


def _slash_option(run: Run, index: int) -> bool:
    word = run.words[index]
    name, colon, value = word[1:].partition(":")
    secret = name in run.conventions.of("slashopt", run.present) or strength_of(name) == CERTAIN
    if name == "gateway" and (listed := _LISTED_PASSWORD.search(value)):
        run.put(index, f"/{name}:{value[: listed.end()]}{REDACTED}")
        return True
    if colon and "/" not in name and secret and not is_reference(value):
        run.put(index, f"/{name}:{REDACTED}")
        return True
    return False


def _general_option(run: Run, index: int, following: str | None) -> int:
    word = run.words[index]
    if long := _LONG.fullmatch(word):
        shown = _attached_value(long["name"], long["value"])
        if shown is not None:
            run.put(index, f"{long['name']}{long['equals']}{shown}")
        return 1
    if following is None or not _OPTION.fullmatch(word):
        return 1
    if _HEADER_OPTION.fullmatch(word) and ":" in following:
        run.put(index + 1, without_header(following))
    elif LOGIN_NAME.search(word) and LOGIN.fullmatch(following):
        run.put(index + 1, login_by(":", following))
    elif told := _told_by(word, following):
        run.put(index + 1, told)
    elif _is_unknown_password(run, word, following):
        run.put(index + 1, REDACTED)
    elif len(word) > 2 and not _LOOKS_LIKE_OPTION.fullmatch(following) and is_secret(word, following):  # noqa: PLR2004 # "-p"
        shown = without_secrets(following) if "://" in following or "=" in following else following
        run.put(index + 1, shown if shown != following else REDACTED)
    return 2 if index + 1 in run.done else 1


def _attached_value(name: str, value: str) -> str | None:
    # What to show for --name=value; None if the text of it is to decide.
    if _HEADER_OPTION.fullmatch(name):
        return without_header(value)
    if told := _told_by(name, value):
        return told
    if LOGIN_NAME.search(name) and LOGIN.fullmatch(value):
        return login_by(":", value)
    return REDACTED if "://" not in value and is_secret(name, value) else None


# --passwordeval "echo SECRET"
def _told_by(name: str, value: str) -> str | None:
    if "pass" not in name or not name.endswith(("eval", "command", "cmd", "extpass")):
        return None
    telling = _TELLING_COMMAND.fullmatch(value)
    return telling["keep"] + REDACTED if telling else None


# What the table does not say: "-p SOMETHING" that looks like a password, and of a program that we do not know also what stands beside
# "-u SOMEBODY" and is neither a port nor a word nor a file nor a setting. Other letters beside a user: only what is no name.
def _is_unknown_password(run: Run, option: str, value: str) -> bool:
    if len(option) > 2 and option != "-pw":  # noqa: PLR2004
        return False
    if is_short_key(value):
        return True
    if _PORTS.fullmatch(value) or " " in value or value[:1] in "-+" or _SETTING.match(value) or is_reference(value):
        return False
    password = option in ("-p", "-P", "-w", "-pw")
    chosen = looks_chosen(value) and not set(value) & set("/.{}\"'")
    if chosen == password:
        return chosen
    words = run.words[run.start + 1 : min(run.end, run.start + _USER_WORDS_MAX)]
    users = [w for w, after in pairwise(words) if _USER_OPTION.fullmatch(w) and not after.startswith("-")]
    if not password or run.conventions is not NO_CONVENTIONS:
        known = users or (run.conventions is NO_CONVENTIONS and option in _SECRETIVE and _TYPED.fullmatch(value))
        return bool(known and chosen and _UNLIKE_A_NAME.search(value))
    return any(len(w) == 2 or not value.isalpha() for w in users)  # noqa: PLR2004 # "status --user -p MainPID"


def _is_shell_text(run: Run, index: int) -> bool:
    if run.words[index].startswith("-"):
        return False
    before = run.words[index - 1]
    if run.program in SHELLS or run.program in ("su", "script", "runuser", "flock", "tmux", "screen"):
        return bool(_SHELL_C.fullmatch(before))
    return run.program in ("ssh", "watch", "eval", "autossh", "mosh") and " " in run.words[index]
