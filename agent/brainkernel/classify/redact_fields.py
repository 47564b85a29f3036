"""Named values inside a text: `name=value`, `"name": "value"`, query parameters, connection strings, lists."""

from __future__ import annotations

import re

from brainkernel.classify.redact_names import CERTAIN, REDACTED, is_secret, looks_chosen, looks_random, strength_of

_NEAR_CHARS = 1100  # an end of a value is looked for this far, unless the value is a secret anyhow: keeps time linear
SIMPLE_WORD = re.compile(r"[a-z]{1,24}|[A-Z][a-z]{1,24}|\d{1,3}")

# A name is read once, from where its chain of words, dots and dashes begins, and never gone back into: time is linear in the text.
_NAME = r"(?<![\w.-])[\d.-]*+(?P<name>[^\W\d][\w.-]*+"
_ASSIGNMENT = re.compile(
    _NAME
    + r"(?:\[\w{0,40}\]){0,3})(?:\\?[\"'](?=\s{0,2}=>)|\\?[\"']?[\]}])?(?P<equals>\s{0,2}(?:=>|:?=|%3[Dd])\s{0,2}(?!=))(?P<quote>\\{0,3}[\"']|)"
)
_PAIR = re.compile(
    r"(?P<open>(?<!\w)\\{0,3}[\"']|)" + _NAME + r")(?P<close>\\{0,3}[\"']|)(?P<colon>\s{0,4}:\s{0,4})(?P<quote>\\{0,3}[\"']|)"
)
# {"name": "DB_PASSWORD", "value": "..."}, {"path": "/password", "value": "..."}, ParameterKey=DBPassword,ParameterValue=...
_NAMED_VALUE = re.compile(
    r"(?P<head>(?:[Nn]ame|[Kk]ey|[Pp]ath|ParameterKey)[\"'\\]{0,4}\s{0,2}[:=]\s{0,2}[\"'\\]{0,4}(?P<name>[\w./-]{2,80})[\"'\\]{0,4}(?:\s{0,2},|\s)"
    r"\s{0,2}[\"'\\]{0,4}(?:[\w.-]{1,40}(?:\[\d{1,3}\])?\.)?(?:[Vv]alue|ParameterValue)[\"'\\]{0,4}\s{0,2}[:=]\s{0,2}[\"'\\]{0,4})(?P<value>[^\"'\\\s,}]{1,512})"
)

_NEXT_PAIR = re.compile(r"(?:[,;&|]\s{0,4}|\s{1,4})(?:[A-Za-z_][\w.\- ]{0,60}(?:\[\w{0,40}\])?\s?=|--?[A-Za-z])")
_AFTER_QUERY = re.compile(r"[&#\s\"'<>]")
_AFTER_ENCODED = re.compile(r"%26|[&\s\"']")
_AFTER_LISTED = re.compile(r"[;\"'\n]")
_AFTER_WORD = re.compile(r"[\s\"']")
_AFTER_CODE = re.compile(r"[\s\"'&;,)}\]]")
_AFTER_FIELD = re.compile(r"[,;}\]\s]")
_DONE = re.compile(rf"(?:[\w-]{{1,24}}\s{{1,3}})?{REDACTED}")
_LINE_END = re.compile(r"\n")
_CONNECTION_STRING = re.compile(r";\s?[\w ]{2,40}=|;\"?$")


def without_assignments(text: str, *, whole: bool) -> str:
    """Replace the values of `name=value` whose name is secret. `whole`: the text is one argument, see `without_secrets`."""
    text = _NAMED_VALUE.sub(lambda m: m["head"] + REDACTED if is_secret(m["name"], m["value"]) else m[0], text)
    semicolons = bool(_CONNECTION_STRING.search(text))
    first_address = text.find("://")
    out: list[str] = []
    at = position = 0
    while match := _ASSIGNMENT.search(text, position):
        position = match.end()
        before = text[max(0, match.start() - 1) : match.start()]
        if strength_of(match["name"]) == 0 or _DONE.match(text, position) or before == "^":  # "^password=" looks for one
            continue
        in_address = 0 <= first_address < match.start()
        terminator = _terminator(match, before, whole=whole, semicolons=semicolons, in_address=in_address)
        end = _end(text, match, terminator, certain=strength_of(match["name"]) == CERTAIN)
        if is_secret(match["name"], text[position:end]):
            out += (text[at:position], REDACTED)
            at = position = end
    out.append(text[at:])
    return "".join(out)


def _terminator(match: re.Match[str], before: str, *, whole: bool, semicolons: bool, in_address: bool) -> re.Pattern[str]:
    if match["equals"].startswith("%"):
        return _AFTER_ENCODED
    if before in ("?", "&") or (in_address and before == "#"):
        return _AFTER_QUERY
    if semicolons:
        return _AFTER_LISTED
    if whole and before in ("", "-", "/", ".", ","):
        return _NEXT_PAIR  # the value may hold blanks and punctuation
    return _AFTER_WORD if whole and before == " " else _AFTER_CODE


def without_pairs(text: str, *, whole: bool) -> str:
    """Replace the values of `"name": "value"` and `name: value` whose name is secret."""
    brace = text.find("{")
    out: list[str] = []
    at = position = 0
    while match := _PAIR.search(text, position):
        position = match.end()
        if strength_of(match["name"]) == 0 or text.startswith("//", position) or _DONE.match(text, position):
            continue
        in_braces = 0 <= brace < match.start()
        alone = whole and not in_braces and match.start() == 0
        quoted = bool(match["close"] or match["quote"]) or in_braces
        spaced = match["colon"].endswith((" ", "\t", "\n"))
        certain = strength_of(match["name"]) == CERTAIN and (quoted or spaced)
        end = _end(text, match, _LINE_END if alone else _AFTER_FIELD, certain=certain)
        value = text[position:end]
        if match["open"] and not match["close"] and match["quote"] == match["open"]:
            continue  # "Password:" is a prompt in quotes
        if value[:1] in ("{", "[") and not match["quote"]:
            continue  # what is below that name is looked at by itself
        if value and is_secret(match["name"], value) and (quoted or _is_plain_pair(value, spaced=spaced)):
            out += (text[at:position], REDACTED)
            at = position = end
    out.append(text[at:])
    return "".join(out)


def _is_plain_pair(value: str, *, spaced: bool) -> bool:
    # "password: hunter2" is one, "Password: changed" in a message and "token:latest" are not.
    if not spaced:
        return looks_random(value) or looks_chosen(value)
    return not SIMPLE_WORD.fullmatch(value.split(maxsplit=1)[0] if value.strip() else value)


def _end(text: str, match: re.Match[str], terminator: re.Pattern[str], *, certain: bool) -> int:
    start, quote = match.end(), match["quote"]
    near = start + _NEAR_CHARS
    if quote:
        end = text.find(quote, start, near)
    else:
        found = terminator.search(text, start, near)
        end = found.start() if found else -1
    if end >= 0:
        return end
    if near >= len(text) or not certain:
        return min(near, len(text))
    if quote:
        end = text.find(quote, start)
        return end if end >= 0 else len(text)
    found = terminator.search(text, start)
    return found.start() if found else len(text)
