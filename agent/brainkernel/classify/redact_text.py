"""Secrets inside one piece of text: addresses with a login, `key=value`, JSON, headers, SQL, connection strings."""

from __future__ import annotations

import re
from urllib.parse import unquote

from brainkernel.classify.redact_names import REDACTED, is_reference, is_secret, looks_random, strength_of
from brainkernel.classify.redact_shapes import without_shapes

_SCHEME = re.compile(r"(?<![A-Za-z0-9])[A-Za-z][A-Za-z0-9+.-]{1,30}:(?://|\\/\\/)|(?<![\w:/])//(?=[^\s/@]{1,128}:[^\s@]{1,256}@)")
_HOST = re.compile(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\]|\$\{?\w+\}?)(?::\d{1,5}|:\w*)?(?:[,/?#)\\\s\"';]|$)")
_URL_END = re.compile(r"[\s\"'<>`]")
_ENCODED_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,30}%3[Aa]%2[Ff]%2[Ff][^\s\"'&<>]{3,2048}")
# psexec.py DOMAIN/user:password@host, curlftpfs user:password@host: a login without a scheme
_BARE_LOGIN = re.compile(
    r"(?P<login>(?:[\w.-]{0,64}[/\\])?[\w.-]{1,64}):(?P<password>[^\s]{3,256})@(?P<host>[\w.-]{1,253}(?::\d{1,5})?(?:[:/][^\s]{0,255})?)"
)

_ASSIGNMENT = re.compile(
    r"(?P<name>[A-Za-z_][\w.-]{0,80}(?:\[\w{0,40}\]){0,3}|:_\w{2,40})(?P<equals>\s{0,2}(?::?=|%3[Dd]|=>)\s{0,2}(?!=))(?P<quote>\\{0,3}[\"']|)"
)
_PAIR = re.compile(
    r"(?P<open>\\{0,3}[\"']|)(?P<name>[A-Za-z_][\w.-]{0,80})(?P<close>\\{0,3}[\"']|)(?P<colon>\s{0,4}:\s{0,4})(?P<quote>\\{0,3}[\"']|)"
)
_NEXT_PAIR = re.compile(r"(?:[,;&|]\s*|\s+)(?:[A-Za-z_][\w.\- ]{0,60}(?:\[\w{0,40}\])?\s?=|--?\w)")
_NEXT_QUERY = re.compile(r"[&#\s\"'<>]")
_NEXT_FIELD = re.compile(r"[,;}\]\s]")
_NAMED_VALUE = re.compile(
    r"(?P<head>(?:[Nn]ame|[Kk]ey|ParameterKey)[\"'\\]{0,4}\s{0,2}[:=]\s{0,2}[\"'\\]{0,4}(?P<name>[\w.-]{2,80})[\"'\\]{0,4}\s{0,2},\s{0,2}[\"'\\]{0,4}(?:[Vv]alue|ParameterValue)[\"'\\]{0,4}\s{0,2}[:=]\s{0,2}[\"'\\]{0,4})(?P<value>[^\"'\\\s,}]{1,512})"
)

_AUTHORIZATION = re.compile(
    r"(?P<keep>(?i:authorization|x-auth|auth(?:entication)?)[\"'\\]{0,4}\s{0,3}[:=]\s{0,3}[\"'\\]{0,4}(?:(?i:bearer|basic|token|digest|negotiate|apikey|oauth|jwt|splunk|ntlm|key|ssws|genericapikey|hawk|aws4-hmac-sha256|discogs|bot)\s{1,3})?)(?P<secret>[^\"'\\\n]{1,4096})"
)
_COOKIE = re.compile(r"(?P<keep>(?<![\w-])(?i:(?:set-)?cookie2?)[\"'\\]{0,4}\s{0,3}:\s{0,3}[\"'\\]{0,4})(?P<secret>[^\"'\\\n]{2,8192})")
_BEARER = re.compile(r"(?P<keep>(?<!\w)(?i:bearer|basic|token)\s{1,3})(?P<secret>[A-Za-z0-9._~+/=-]{8,4096})")
_HEADER = re.compile(r"(?P<keep>(?<!\w)(?P<name>[A-Za-z][\w-]{1,60}):[ \t]?)(?P<secret>[^\n\"']{1,4096})")

_SQL = re.compile(
    r"(?P<keep>(?i:identified\s{1,3}(?:with\s{1,3}\S{1,64}\s{1,3})?(?:by|as)(?:\s{1,3}password)?|(?:encrypted\s{1,3}|set\s{1,3})?password(?:\s{0,3}(?:to|for\s{1,3}\S{1,128}\s{0,3}=|=))?|"
    r"require\s?pass|auth|changeUserPassword\(\s{0,3}[\"']\w{1,64}[\"']\s{0,3},|pwdcompare|user_pass|master\s{1,3}key\s{1,3}encryption\s{1,3}by\s{1,3}password|secret|decrypt_key)\s{0,3}=?\s{0,3}\(?\s{0,3})"
    r"(?P<quote>\\{0,3}['\"])(?P<secret>(?:[^'\"\\]|\\(?!['\"])|'')++)(?P<end>\\{0,3}['\"])"
)
_NETRC = re.compile(
    r"(?P<keep>(?i:(?:login|user(?:name)?|machine|ssid|identity)\s{1,3}\S{1,128}\s{1,3}(?:\S{1,40}\s{1,3}){0,2}(?:password|passwd|psk)\s{1,3}))(?P<secret>\S{1,256})"
)
_PGPASS = re.compile(r"(?P<keep>(?<![\w.*-])[\w.*-]{1,253}:(?:\d{2,5}|\*):[^:\s]{1,64}:[^:\s]{1,64}:)(?P<secret>\S{1,256})")
_EXPECT = re.compile(
    r"(?P<keep>(?i:assw(?:or|d)\w{0,3}|passphrase)[^\n]{0,40}?send(?:_user)?\s{1,3}(?:--\s{1,3})?\\{0,3}[\"'{])(?P<secret>[^\"'\\}]{1,256})"
)
_WPA = re.compile(r"(?P<keep>\bpsk=\\{0,3}[\"']?)(?P<secret>[^\"'\\\s]{8,64})")
_SHADOW_HASH = re.compile(
    r"(?<![\w$])\$(?:1|2[abxy]?|5|6|7|y|gy|apr1|argon2(?:id|i|d)|pbkdf2[\w-]{0,20}|scrypt|sha1|md5)\$[\w./$,=+-]{8,256}"
)
_SEND_KEYS = re.compile(r"(?P<keep>ConvertTo-SecureString\s{1,3}(?:-String\s{1,3})?[\"']?)(?P<secret>[^\"'\s]{1,256})")
_SIMPLE_WORD = re.compile(r"[a-z]{1,24}|[A-Z][a-z]{1,24}|\d{1,3}")


def without_secrets(text: str, *, whole: bool = True) -> str:
    """Replace the secrets that the text itself gives away.

    `whole`: the text is one argument, so that a value under a secret name may reach to its end, spaces included; else
    it is a part of prose, and values end at a blank.
    """
    if len(text) < 4:  # noqa: PLR2004 # "a:b" is the shortest login
        return text
    text = without_shapes(text)
    if "://" in text or ":\\/\\/" in text or "@" in text:
        text = _without_logins(text, whole=whole)
    if "%3A%2F%2F" in text or "%3a%2f%2f" in text:
        text = _ENCODED_URL.sub(_decoded, text)
    text = _without_phrases(text)
    if "=" in text or "%3D" in text or "%3d" in text:
        text = _without_assignments(text, whole=whole)
    return _without_pairs(text, whole=whole) if ":" in text else text


def without_header(text: str) -> str:
    """Replace the value of an HTTP header line whose name says that it is secret."""
    match = _HEADER.match(text)
    if match is None or not is_secret(match["name"], match["secret"]) or match["name"].lower() in ("authorization", "cookie"):
        return without_secrets(text)
    return text[: match.end("keep")] + _kept_scheme(match["secret"])


def _kept_scheme(value: str) -> str:
    scheme = _BEARER.match(value)
    return (scheme["keep"] if scheme else "") + REDACTED


def _keep_and_redact(match: re.Match[str]) -> str:
    secret = match["secret"].strip()
    if is_reference(secret):
        return match[0]
    tail = ")" if secret.endswith(")") and "(" not in secret else ""
    return match["keep"] + REDACTED + tail


def _without_phrases(text: str) -> str:
    low = text.lower()
    if "auth" in low:
        text = _AUTHORIZATION.sub(_authorization, text)
    if "cookie" in low and ":" in text:
        text = _COOKIE.sub(_keep_and_redact, text)
    if "bearer" in low or "basic" in low or "token" in low:
        text = _BEARER.sub(lambda m: m["keep"] + REDACTED if looks_random(m["secret"]) else m[0], text)
    if "'" in text or '"' in text:
        text = _SQL.sub(lambda m: m[0] if is_reference(m["secret"]) else f"{m['keep']}{m['quote']}{REDACTED}{m['end']}", text)
    if "ass" in low or "psk" in low:
        text = _NETRC.sub(_keep_and_redact, text)
        text = _EXPECT.sub(_keep_and_redact, text)
        if "pgpass" in low:
            text = _PGPASS.sub(_keep_and_redact, text)
    if "securestring" in low:
        text = _SEND_KEYS.sub(_keep_and_redact, text)
    return _SHADOW_HASH.sub(REDACTED, text) if "$" in text else text


def _authorization(match: re.Match[str]) -> str:
    secret, keep = match["secret"], match["keep"]
    named = "authorization" in keep.lower()
    if is_reference(secret) or (not named and not looks_random(secret.split()[0] if secret.split() else "")):
        return match[0]
    if named and _SIMPLE_WORD.fullmatch(secret):
        return match[0]
    return keep + REDACTED


def _decoded(match: re.Match[str]) -> str:
    plain = unquote(match[0])
    clean = without_secrets(plain)
    return match[0] if clean == plain else clean


def _without_logins(text: str, *, whole: bool) -> str:
    out: list[str] = []
    at = 0
    for match in _SCHEME.finditer(text):
        if match.start() < at:
            continue
        end = _end_of_url(text, match, whole=whole)
        rest = text[match.end() : end]
        split = _login_end(rest)
        if split < 0:
            continue
        login = rest[:split]
        out += (text[at : match.end()], _clean_login(login), "@")
        at = match.end() + split + 1
    out.append(text[at:])
    text = "".join(out)
    if "@" in text and "://" not in text and (bare := _BARE_LOGIN.fullmatch(text)) and not bare["password"].isdecimal():
        return f"{bare['login']}:{REDACTED}@{bare['host']}"
    return text


def _end_of_url(text: str, match: re.Match[str], *, whole: bool) -> int:
    # An argument that is one address, or an option with one, reaches to its end: passwords may hold blanks and quotes.
    before = text[: match.start()]
    alone = whole and (not before or (before.endswith(("=", ":")) and not _URL_END.search(before) and "{" not in before))
    if alone and "://" not in text[match.end() :]:
        return len(text)
    found = _URL_END.search(text, match.end())
    return found.start() if found else len(text)


def _login_end(rest: str) -> int:
    # The last "@" before the host. A password may hold "@", "#", "?" and even "/" unencoded.
    slash = rest.find("/")
    authority = rest if slash < 0 else rest[:slash]
    at = authority.rfind("@")
    if at >= 0:
        return at
    colon = authority.find(":")
    if colon < 0 or slash < 0 or authority[colon + 1 :].isdecimal() or not authority[colon + 1 :]:
        return -1
    at = rest.rfind("@", 0, 512)
    return at if at >= 0 and _HOST.match(rest, at + 1) else -1


def _clean_login(login: str) -> str:
    user, colon, password = login.partition(":")
    if not colon and "%3A" in login.upper():
        user, colon, password = re.split("(%3[Aa])", login, maxsplit=1)
    if looks_random(user):
        user = REDACTED
    if not colon or is_reference(password) or password == "x-oauth-basic":
        return f"{user}{colon}{password}"
    return f"{user}{colon}{REDACTED}"


def _without_assignments(text: str, *, whole: bool) -> str:
    text = _NAMED_VALUE.sub(lambda m: m["head"] + REDACTED if is_secret(m["name"], m["value"]) else m[0], text)
    out: list[str] = []
    at = 0
    for match in _ASSIGNMENT.finditer(text):
        if match.start() < at or strength_of(match["name"]) == 0:
            continue
        end = _end_of_value(text, match, whole=whole)
        if is_secret(match["name"], text[match.end() : end]):
            out += (text[at : match.end()], REDACTED)
            at = end
    out.append(text[at:])
    return "".join(out)


def _end_of_value(text: str, match: re.Match[str], *, whole: bool) -> int:
    start, quote = match.end(), match["quote"]
    if quote:
        end = text.find(quote, start)
        return end if end >= 0 else len(text)
    before = text[max(0, match.start() - 1) : match.start()]
    if match["equals"].startswith("%"):
        found = re.compile(r"%26|[&\s\"']").search(text, start)
    elif before in ("?", "&") or ("://" in text[: match.start()] and before == "#"):
        found = _NEXT_QUERY.search(text, start)
    elif ";" in text and re.search(r";\s?[\w ]{2,40}=|;$", text):
        found = re.compile(r"[;\"'\n]").search(text, start)
    elif whole and (before in ("", "-", "/", ".") or before == ","):
        found = _NEXT_PAIR.search(text, start)
    elif whole and before == " ":
        found = re.compile(r"[\s\"']").search(text, start)
    else:
        found = re.compile(r"[\s\"'&;,)}\]]").search(text, start)
    return found.start() if found else len(text)


def _without_pairs(text: str, *, whole: bool) -> str:
    out: list[str] = []
    at = 0
    for match in _PAIR.finditer(text):
        if match.start() < at or strength_of(match["name"]) == 0 or text.startswith("//", match.end()):
            continue
        end = _end_of_pair(text, match, whole=whole)
        value = text[match.end() : end]
        quoted = bool(match["close"] or match["quote"])
        if not value or not is_secret(match["name"], value) or (not quoted and not _is_plain_pair(text, match, value)):
            continue
        out += (text[at : match.end()], REDACTED)
        at = end
    out.append(text[at:])
    return "".join(out)


def _end_of_pair(text: str, match: re.Match[str], *, whole: bool) -> int:
    start, quote = match.end(), match["quote"]
    if quote:
        end = text.find(quote, start)
        return end if end >= 0 else len(text)
    in_braces = "{" in text[: match.start()]
    if whole and not in_braces and match.start() == 0:
        found = re.compile(r"\n").search(text, start)
    else:
        found = _NEXT_FIELD.search(text, start)
    return found.start() if found else len(text)


def _is_plain_pair(text: str, match: re.Match[str], value: str) -> bool:
    # "password: hunter2" is one, "Password: changed" in a message and "token:latest" are not.
    blank_after = match["colon"].strip() != match["colon"] and match["colon"].rstrip() != match["colon"]
    in_braces = "{" in text[: match.start()]
    if not blank_after and not in_braces:
        return looks_random(value)
    return not _SIMPLE_WORD.fullmatch(value.split(maxsplit=1)[0] if value.split() else value)
