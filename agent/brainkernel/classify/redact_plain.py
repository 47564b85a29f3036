"""Secrets that stand on a command line without an option: the third word, the word after `password`, USER/SECRET@DB."""

from __future__ import annotations

import re
from itertools import pairwise, product
from typing import TYPE_CHECKING

from brainkernel.classify.redact_names import CERTAIN, LOGIN, REDACTED, is_reference, is_secret, looks_chosen, looks_random, strength_of
from brainkernel.classify.redact_options import login_by
from brainkernel.classify.redact_text import without_secrets

if TYPE_CHECKING:
    from brainkernel.classify.redact_options import Run

_PATH = re.compile(r"/(?!/)|~|\./|\.\./")
_NAMED_LOGIN = re.compile(r"(?:username|user|role|role_id|mount|path|login|name)=")
_SETS_PASSWORD = re.compile(r"(?i)(?:set|change|reset|update|user|account)[-_.:]?(?:user[-_.]?)?(?:password|passwd|pw|pass)$")
_SETS_KEY = re.compile(
    r"(?i)(?:set|change|update|add|save|store)[-_.:]?(?:api|auth|access|license|user)?[-_.]?(?:key|token|secret|licen[sc]e)$"
)
_USERS = re.compile(
    r"(?:^|[._:-])(?:(?:users?|accounts?|emails?)(?:[._:-]?(?:add|create|new|mod|update))?|(?:add|create|new|set)[._:-]?(?:user|account))$"
)
_ENROLS = frozenset(("enroll", "enrol", "activate", "login", "unlock"))
_VALUES = frozenset("--value --secret-value --data --body --content --plaintext --literal --string-value --env --text".split())
_UUID = re.compile(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SETTERS = frozenset(("set", "config", "configure", "config:set", "set-env", "setenv"))


def look_at_plain_words(run: Run) -> None:
    """Redact the plain words (neither options nor their values) that are secrets by where they stand."""
    plain = [i for i in run.plain if i not in run.done]
    conventions, present = run.conventions, run.present
    _by_number(run, plain)
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
                run.put(index, login_by(":", run.words[index]))
    _lists(run, plain)
    _settings(run, plain)


def _by_number(run: Run, plain: list[int]) -> None:
    conventions, present = run.conventions, run.present
    for argument in conventions.of("word", present):
        condition = conventions.clauses["word"][argument]
        at = next((n for n, i in enumerate(plain) if run.words[i] == condition), -1)
        for number in argument.split(","):
            _redact_nth(run, plain[at + 1 :], int(number))


def _after(run: Run, plain: list[int], key: str) -> list[int]:
    # The key may be an option ("--encrypt user owner 256 --") or begin with a plus ("+login").
    at = next((i for i in range(run.start + 1, run.end) if run.words[i] == key), None)
    if at is None:
        return []
    end = run.end if key[0] != "+" else next((i for i in range(at + 1, run.end) if run.words[i][:1] == "+"), run.end)
    return [i for i in range(at + 1, end) if i in plain or not run.words[i].startswith("-")]


def _redact_nth(run: Run, plain: list[int], number: int) -> None:
    try:
        index = plain[number - 1 if number > 0 else number]
    except IndexError:
        return
    word = run.words[index]
    name, equals, _ = word.partition("=")
    if equals and strength_of(name) == CERTAIN:
        run.put(index, f"{name}={REDACTED}")
    elif not is_reference(word) and not _NAMED_LOGIN.match(word):
        run.put(index, REDACTED)


def _redact_slash_login(run: Run, index: int) -> None:
    # sqlplus user/secret@db, userid=user/secret; "/ as sysdba" and "/@db" have none, and neither has a path.
    match = re.fullmatch(
        r"(?P<keep>(?:\w{1,16}=)?[\w$#.-]{1,64}(?:\[\w{1,64}\])?/)(?P<secret>[^/\s].{0,256}?)(?P<db>@[\w.:/-]{1,253})?",
        run.words[index],
    )
    if match and not is_reference(match["secret"]):
        run.put(index, f"{match['keep']}{REDACTED}{match['db'] or ''}")


def _lists(run: Run, plain: list[int]) -> None:
    conventions, present = run.conventions, run.present
    keys = conventions.of("all", present)
    if any(k in present for k in keys):
        for index in plain:
            name, equals, value = run.words[index].partition("=")
            if (
                equals
                and (strength_of(name) or "create" not in keys)
                and not is_reference(value)
                and not value.isdecimal()
                and not _NAMED_LOGIN.match(run.words[index])
            ):
                run.put(index, f"{name}={without_secrets(value) if '://' in value else REDACTED}")
    _pairs_and_ends(run, plain)


def _pairs_and_ends(run: Run, plain: list[int]) -> None:
    conventions, present = run.conventions, run.present
    if any(k in present for k in conventions.of("pairs", present)):
        for key, index in pairwise(plain):
            if is_secret(run.words[key], run.words[index]) and "=" not in run.words[key]:
                run.put(index, REDACTED)
    for sign, index in product(conventions.of("prefix", present), plain):
        if run.words[index].startswith(sign):
            run.put(index, sign + REDACTED)
    for prefix in conventions.of("last", present):
        if any(run.words[i].startswith(prefix) for i in plain[:-1]) and not is_reference(run.words[plain[-1]]):
            run.put(plain[-1], REDACTED)


def _settings(run: Run, plain: list[int]) -> None:
    # "config set NAME SECRET", of whatever program: npm, git, yarn, gcloud, uci, ...
    setter = next((n for n, i in enumerate(plain) if _SETS_PASSWORD.search(run.words[i])), len(plain))
    if len(plain) > setter + 2 and not is_reference(run.words[plain[-1]]):  # who, and the password
        run.put(plain[-1], REDACTED)
    _after_a_telling_word(run, plain)
    _of_a_user(run, plain)
    seen_setter = run.program in _SETTERS
    for key, index in pairwise(plain):
        seen_setter = seen_setter or run.words[key] in _SETTERS
        name = run.words[key]
        if (
            seen_setter and "." in name and ":" not in name and LOGIN.fullmatch(run.words[index]) and not _PATH.match(name)
        ):  # bundle config HOST USER:SECRET
            run.put(index, login_by(":", run.words[index]))
        if seen_setter and "=" not in name and not _PATH.match(name) and strength_of(name) == CERTAIN and is_secret(name, run.words[index]):
            run.put(index, REDACTED)


# "secret put NAME --value SECRET", "setapikey SECRET", "token add SECRET": of whatever program, a word of the command says what it is about.
def _after_a_telling_word(run: Run, plain: list[int]) -> None:
    telling = next((n for n, i in enumerate(plain) if _is_telling(run, i)), None)
    if telling is not None:
        for index in plain[telling + 1 :]:
            if index not in run.done and _is_shaped(run.words[index]) and run.words[index - 1] != "peer":
                run.put(index, REDACTED)
        _values(run, plain[telling] + 1)
    for index in range(run.start + 1, run.end - 1):  # iscsiadm -n node.session.auth.password -v SECRET
        before, after = run.words[index - 1], run.words[index + 1]
        named = run.words[index] in ("-v", "--value") and strength_of(before) == CERTAIN and not before.startswith("-")
        if named and not is_reference(after):
            run.put(index + 1, REDACTED)
    enrols = next((n for n, i in enumerate(plain) if run.words[i] in _ENROLS), len(plain))
    for index in plain[enrols + 1 :]:
        if index not in run.done and _is_shaped(run.words[index]) and not run.words[index - 1].startswith("-"):
            run.put(index, REDACTED)
    key = next((n for n, i in enumerate(plain) if _SETS_KEY.search(run.words[i]) and not _PATH.match(run.words[i])), len(plain))
    if len(plain) == key + 2 and not is_reference(run.words[plain[-1]]):
        run.put(plain[-1], REDACTED)


# "users add NAME SECRET", of whatever program
def _of_a_user(run: Run, plain: list[int]) -> None:
    who = next((n for n, i in enumerate(plain[:-2]) if _USERS.search(run.words[i])), len(plain))
    for index in plain[who + 2 :]:
        if index not in run.done and looks_chosen(run.words[index]) and not _PATH.match(run.words[index]) and "=" not in run.words[index]:
            run.put(index, REDACTED)


def _values(run: Run, start: int) -> None:
    for index in range(start, run.end):
        option, equals, value = run.words[index].partition("=")
        if option not in _VALUES or index in run.done:
            continue
        if equals and not is_reference(value):
            run.put(index, f"{option}={REDACTED}")
        elif not equals and index + 1 < run.end and "=" not in run.words[index + 1] and not is_reference(run.words[index + 1]):
            run.put(index + 1, REDACTED)


def _is_shaped(word: str) -> bool:
    return bool(
        (looks_random(word) or looks_chosen(word) or _UUID.fullmatch(word)) and "=" not in word.rstrip("=") and not _PATH.match(word)
    )


def _is_telling(run: Run, index: int) -> bool:
    word = run.words[index]
    return strength_of(word) == CERTAIN and not _PATH.match(word) and not run.words[index - 1].startswith("-")
