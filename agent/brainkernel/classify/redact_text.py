"""Secrets that one piece of text gives away by its structure: addresses with a login, headers, SQL, dialogues, fields."""

from __future__ import annotations

import re
from urllib.parse import unquote

from brainkernel.classify.redact_fields import SIMPLE_WORD, without_assignments, without_pairs
from brainkernel.classify.redact_names import (
    CERTAIN,
    REDACTED,
    is_bare_key,
    is_reference,
    is_secret,
    looks_chosen,
    looks_random,
    strength_of,
)
from brainkernel.classify.redact_shapes import without_shapes

_SCHEME = re.compile(r"(?<![A-Za-z0-9])[A-Za-z][A-Za-z0-9+.-]{1,30}:(?://|\\/\\/)|(?<![\w:/])//(?=[^\s/@]{1,128}:[^\s@]{1,256}@)")
_HOST_AND_QUERY = re.compile(r"[\w.-]{1,253}(?::\d{1,5})?\?")
_HOST = re.compile(r"(?:[\w.-]+|(?=/)|\[[0-9A-Fa-f:.]+\]|\$\{?\w+\}?)(?::\d{1,5}|:\w*)?(?:[,/?#)\\\s\"';]|$)")
_LOGIN_CHARS = 2048  # of an address are looked at
_OPTION_CHARS = 128
_URL_END = re.compile(r"[\s\"'<>`]")
_ENCODED_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,30}%3[Aa]%2[Ff]%2[Ff][^\s\"'&<>]{3,2048}")
# psexec.py DOMAIN/user:password@host, curlftpfs user:password@host: a login without a scheme
_BARE_LOGIN = re.compile(
    r"(?P<login>(?::\w{2,8}:)?(?:[\w.-]{0,64}[/\\])?[\w.-]{1,64}):(?P<password>[^\s]{3,256})@(?P<host>(?:\w{2,5}\()?[\w.-]{1,253}(?::\d{1,5})?\)?(?:[:/][^\s]{0,255})?)"
)

_AUTHORIZATION = re.compile(
    r"(?P<keep>(?i:authorization|x-auth|auth(?:entication)?)[\"'\\]{0,4}\s{0,3}[:=]\s{0,3}[\"'\\]{0,4}(?:(?i:bearer|basic|token|digest|negotiate|apikey|oauth|jwt|splunk|ntlm|key|ssws|genericapikey|hawk|aws4-hmac-sha256|discogs|bot)\s{1,3})?)(?P<secret>[^\"'\\\n]{1,4096})"
)
_COOKIE = re.compile(r"(?P<keep>(?<![\w-])(?i:(?:set-)?cookie2?)[\"'\\]{0,4}\s{0,3}:\s{0,3}[\"'\\]{0,4})(?P<secret>[^\"'\\\n]{2,8192})")
_SCHEME_WORD = re.compile(r"\s{0,3}(?:[A-Za-z][\w-]{1,30}\s{1,3})?")
_VARIABLES_ONLY = re.compile(r"(?:\$\w++|\$\{[^{}]{1,100}\}|\$\((?:[^()]|\([^()]*+\))*+\)|`[^`]*+`|[:./ =-]|Bearer|Basic|token)*+")
_COOKIE_VALUE = re.compile(r"=[^;]+")
_BEARER = re.compile(r"(?P<keep>(?<!\w)(?i:bearer|basic|token)\s{1,3})(?P<secret>[A-Za-z0-9._~+/=-]{8,4096})")
_HEADER = re.compile(r"(?P<keep>(?<!\w)(?P<name>[A-Za-z][\w-]{1,60}):[ \t]?)(?P<secret>[^\n\"']{1,4096})")

_SQL = re.compile(
    r"(?P<keep>(?i:identified\s{1,3}(?:with\s{1,3}\S{1,64}\s{1,3})?(?:by|as)(?:\s{1,3}password)?|(?:encrypted\s{1,3}|set\s{1,3})?password(?:\s{0,3}(?:to|for\s{1,3}\S{1,128}\s{0,3}=|=))?|"
    r"require\s?pass|pwdcompare|user_pass|pragma\s{1,3}(?:hex)?(?:re)?key|master\s{1,3}key\s{1,3}encryption\s{1,3}by\s{1,3}password|secret|decrypt_key|(?<=['\"] )replace)(?:\s{0,3}[=(]\s{0,3}|\s{1,3}|(?<=,)))"
    r"(?P<quote>N?\\{0,3}['\"])(?P<secret>(?:[^'\"\\]|\\(?!['\"])|'')++)(?P<end>\\{0,3}['\"])"
)
# The last argument of a call that logs in: after a user, or after an address and a user.
_CALL = re.compile(
    r"(?P<keep>(?:\b(?:auth|login|authenticate|logon|unlockAccount|(?:pgp_sym|aes|AES)_(?:en|de|EN|DE)(?:crypt|CRYPT)(?:_bytea)?|changeUserPassword|set_?credentials|auth\s?=\s?|(?:Network|PS|UsernamePassword)Credentials?|(?:HTTP)?[Bb]asic_?[Aa]uth)\(\s{0,3}|(?:\bPDO|\b[Cc]onnect(?:ion)?|newInstance|mysqli|mysqli_connect)\(\s{0,3}[^,()]{1,256},\s{0,3})"
    r"[^,()]{1,256},\s{0,3}\\{0,3}[\"'])(?P<secret>[^\"'\\]{1,256})"
)
_HASHES = re.compile(  # Hash::make('SECRET'), create_superuser('name', 'mail', 'SECRET')
    r"(?P<keep>(?i:\bhash(?:::|\.)make|\b\w{0,24}(?:_|set|hash|check|verify|make)(?:password|passwd|superuser)\w{0,8})\((?:[^()\"']{0,64}[\"'][^()\"']{0,64}[\"'],){0,3}\s{0,3}b?\\{0,3}[\"']|\b(?:crypt|hashpw|password_hash|\w{1,16}_crypt\.(?:hash|encrypt))\(\s{0,3}b?\\{0,3}[\"'])"
    r"(?P<secret>[^\"'\\]{1,256})(?=\\{0,3}[\"']\s{0,3}[),])"
)
_NETRC = re.compile(
    r"(?P<keep>(?i:(?:login|user(?:name)?|machine|ssid|identity)\s{1,3}\S{1,128}\s{1,3}(?:\S{1,40}\s{1,3}){0,2}(?:password|passwd|pass|pwd|psk)\s{1,3}))(?P<secret>(?!(?:=>?|:=?|is)\s)\S{1,256})"
)
_PGPASS = re.compile(r"(?P<keep>(?<![\w.*-])[\w.*-]{1,253}:(?:\d{2,5}|\*):[^:\s]{1,64}:[^:\s]{1,64}:)(?P<secret>[^\s\"']{1,256})")
_EXPECT = re.compile(
    r"(?P<keep>(?i:assw(?:or|d)\w{0,3}|passphrase)[^\n]{0,40}?send(?:_user)?\s{1,3}(?:--\s{1,3})?\\{0,3}[\"'{]?)(?P<secret>[^\"'\\}]{1,256})"
)
_CONNECT = re.compile(r"(?P<keep>(?i:\buser\s{1,3}\S{1,128}\s{1,3}using\s{1,3}[\"']?))(?P<secret>[^\s\"']{1,256})")  # of DB2
_SLASH_LOGIN = re.compile(r"(?P<keep>\bjdbc:oracle:\w{2,8}:[\w$#.]{1,64}/)(?P<secret>[^/\s@][^\s@]{0,256})(?=@)")
_CODED_LOGIN = re.compile(  # btoa("user:SECRET")
    r"(?P<keep>\b(?:b64encode|btoa|Buffer\.from|base64_encode|encode64|encode_base64|toBase64String)\(\s{0,3}b?\\{0,3}[\"'][\w.@-]{0,64}:)(?P<secret>[^\"'\\]{1,256})"
)
# sed s/NAME_OF_A_SECRET/SECRET/
_SUBSTITUTE = re.compile(
    r"(?<![\w./])s(?P<sign>[/|#,@!~])[\W_]{0,6}(?P<name>[A-Za-z][\w.-]{2,80})\W{0,6}(?P=sign)(?P<secret>[^/|#,@!~\s=]{6,256})(?P=sign)"
)
_DSN = re.compile(
    r"(?P<keep>(?<![\w.-])[hDSu]=[^,\s]{1,128},(?:[A-Za-z]=[^,\s]{0,128},){0,6}p=)(?P<secret>[^,\s]{1,256})"
)  # of Percona's tools
_BARE_QUERY = re.compile(r"(?P<keep>(?<=[\w/])\?)(?P<secret>[A-Za-z0-9+/_-]{22,128}={0,2})(?![\w=&.])")
# The value of an option inside a text: unison -sshargs '-pw SECRET'
_INNER_OPTION = re.compile(
    r"(?P<keep>(?<![^\s\"'(=p])(?P<name>--?[A-Za-z][\w-]{1,40})(?:\s{1,3}|=))(?P<secret>[^\s\"'<>|&;()-][^\s\"']{0,256})"
)
_LISTED = re.compile(  # setProperty("password", "SECRET")
    r"(?P<keep>\b(?P<name>[A-Za-z_][\w.-]{2,60})\\{0,3}[\"']?\s{0,2},\s{0,2}\\{0,3}[\"'])(?P<secret>[^\"'\\\s]{8,128})(?=\\{0,3}[\"'])"
)
# A command of a protocol or of a console, or a sentence: "a LOGIN bob SECRET", "set_password vnc SECRET", "the password is SECRET"
_SPOKEN = re.compile(
    r"(?P<keep>(?<![\w-])[\w-]{0,40}(?i:passw(?:or)?d|passphrase|passwort|secret|token|psk|requirepass|masterauth|login|user|auth),?"
    r"\s{1,3}(?:[\w.@-]{1,64}\s{1,3}){0,2})(?P<secret>[^\s\"',;]{8,64})"
)
_PRESEEDED = re.compile(r"(?P<keep>(?<![\w/-])[\w-]{1,64}/[\w-]{1,64}\s{1,3}password\s{1,3})(?P<secret>\S{1,256})")  # of debconf
_TELLING = re.compile(r"pass|secret|token|key|psk|login|user|auth|-pw")
_SUBSTITUTE_HINT = re.compile(r"(?:^|[\s\"';])s[/|#,@!~]")
_WPA = re.compile(r"(?P<keep>\bwpa-p(?:wd|sk)\\{0,3}[\"']?[,:]\\{0,3}[\"']?)(?P<secret>[^\"'\\\s:]{1,64})")  # of wireshark
_WIFI = re.compile(r"(?P<keep>WIFI:(?:[A-OQ-Z]:[^;]{0,64};){0,4}P:)(?P<secret>(?:[^;\\]|\\.){1,128})")
_MOUNT = re.compile(
    r"(?P<keep>\buser(?:name)?=[^,%\s/=]{1,64}%(?!40|2[0-9A-F]|3[A-F]|5[B-E]))(?P<secret>[^,\s\"']{1,128})"
)  # user=NAME%SECRET, of cifs
_ELEMENT = re.compile(r"(?P<keep><(?P<name>[A-Za-z_][\w:.-]{1,60})>)(?P<secret>[^<>]{1,256})(?=</)")  # of XML
_SHADOW_HASH = re.compile(
    r"(?<![\w$])\$(?:1|2[abxy]?|5|6|7|y|gy|apr1|argon2(?:id|i|d)|pbkdf2[\w-]{0,20}|scrypt|sha1|md5)\$[\w./$,=+-]{8,256}"
)
_SEND_KEYS = re.compile(r"(?P<keep>ConvertTo-SecureString\s{1,3}(?:-String\s{1,3})?[\"']?)(?P<secret>[^\"'\s]{1,256})")


# What must be in the text, in small letters, before it is worth looking.
_PHRASES = (
    (" using ", _CONNECT),
    ("jdbc:oracle", _SLASH_LOGIN),
    ("wpa-p", _WPA),
    ("securestring", _SEND_KEYS),
    ("wifi:", _WIFI),
    (",p=", _DSN),
    ("\tpassword", _PRESEEDED),
    (" password ", _PRESEEDED),
)


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
        text = text if "?" not in text else _BARE_QUERY.sub(lambda m: m["keep"] + REDACTED if is_bare_key(m["secret"]) else m[0], text)
    if "%3A%2F%2F" in text or "%3a%2f%2f" in text:
        text = _ENCODED_URL.sub(_decoded, text)
    text = _without_phrases(text)
    if "user" in text and "%" in text:
        text = _MOUNT.sub(_keep_and_redact, text)
    if "</" in text:
        text = _ELEMENT.sub(lambda m: m["keep"] + REDACTED if is_secret(m["name"], m["secret"]) else m[0], text)
    if "=" in text or "%3D" in text or "%3d" in text or "alue" in text:  # "name": "DB_PASSWORD", "value": "..."
        text = without_assignments(text, whole=whole)
    return without_pairs(text, whole=whole) if ":" in text else text


def without_header(text: str) -> str:
    """Replace the value of an HTTP header line whose name says that it is secret."""
    name, colon, value = text.partition(":")
    if colon and name.lower() in ("authorization", "proxy-authorization"):  # whatever fields the scheme has
        scheme = _SCHEME_WORD.match(value)
        start = len(name) + 1 + (scheme.end() if scheme else 0)
        rest = text[start:].strip()
        return text if not rest or is_reference(rest) or _VARIABLES_ONLY.fullmatch(rest) else text[:start] + REDACTED
    match = _HEADER.match(text)
    if match is None or not _is_secret_header(match["name"], match["secret"]) or match["name"].lower() in ("authorization", "cookie"):
        return without_secrets(text)
    return text[: match.end("keep")] + _kept_scheme(match["secret"])


# The keys of headers are credentials, whatever they look like; those that are not are known by name.
def _is_secret_header(name: str, value: str) -> bool:
    return is_secret(name, value) or (
        name.lower().endswith(("key", "auth", "api"))
        and (strength_of(name) > 0 or name.lower().endswith("api"))
        and not is_reference(value)
    )


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
        text = _COOKIE.sub(_cookies, text)
    if "bearer" in low or "basic" in low or "token" in low:
        text = _BEARER.sub(lambda m: m["keep"] + REDACTED if looks_random(m["secret"]) else m[0], text)
    if "'" in text or '"' in text:
        text = _CALL.sub(_keep_and_redact, text)
        text = _CODED_LOGIN.sub(_keep_and_redact, text)
        text = _HASHES.sub(_keep_and_redact, text)
        text = _SQL.sub(lambda m: m[0] if is_reference(m["secret"]) else f"{m['keep']}{m['quote']}{REDACTED}{m['end']}", text)
    text = _without_spoken(text, low)
    for hint, phrase in _PHRASES:
        if hint in low:
            text = phrase.sub(_keep_and_redact, text)
    if "ass" in low or "psk" in low or "pwd" in low:
        text = _NETRC.sub(_keep_and_redact, text)
        text = _EXPECT.sub(_keep_and_redact, text)
        if "pgpass" in low:
            text = _PGPASS.sub(_keep_and_redact, text)
    return _SHADOW_HASH.sub(REDACTED, text) if "$" in text else text


def _without_spoken(text: str, low: str) -> str:
    if not _TELLING.search(low):
        return text
    if " " in text:
        text = _SPOKEN.sub(_said, _INNER_OPTION.sub(_inner_option, text))
    if "," in text and ('"' in text or "'" in text):
        text = _LISTED.sub(lambda m: _said(m) if strength_of(m["name"]) == CERTAIN else m[0], text)
    return _SUBSTITUTE.sub(_substitute, text) if _SUBSTITUTE_HINT.search(text) else text


def _said(match: re.Match[str]) -> str:
    shaped = looks_chosen(match["secret"]) or looks_random(match["secret"])
    if is_reference(match["secret"]) or "://" in match["secret"]:
        return match[0]
    return match["keep"] + REDACTED if shaped else match[0]


def _inner_option(match: re.Match[str]) -> str:
    known = match["name"] == "-pw" or strength_of(match["name"]) == CERTAIN
    plain = is_reference(match["secret"]) or (match.start() and SIMPLE_WORD.fullmatch(match["secret"]))  # "the --password option"
    return match[0] if plain or not known else match["keep"] + REDACTED


def _substitute(match: re.Match[str]) -> str:
    secret = match["secret"]
    if strength_of(match["name"].removesuffix("_PLACEHOLDER")) < CERTAIN or not (looks_chosen(secret) or looks_random(secret)):
        return match[0]
    return match[0].replace(secret, REDACTED)


def _cookies(match: re.Match[str]) -> str:
    if is_reference(match["secret"]):
        return match[0]
    return match["keep"] + (_COOKIE_VALUE.sub(f"={REDACTED}", match["secret"]) if "=" in match["secret"] else REDACTED)


def _authorization(match: re.Match[str]) -> str:
    secret, keep = match["secret"], match["keep"]
    named = "authorization" in keep.lower()
    if is_reference(secret) or (not named and not looks_random(secret.split()[0] if secret.split() else "")):
        return match[0]
    if named and keep.endswith((":", ": ", "=", '"', "'")) and SIMPLE_WORD.fullmatch(secret):
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
    near = min(len(text), match.end() + _LOGIN_CHARS)
    before = text[: match.start()] if match.start() < _OPTION_CHARS else "{"
    alone = whole and (not before or (before.endswith(("=", ":")) and not _URL_END.search(before) and "{" not in before))
    if alone and text.find("://", match.end(), near) < 0:
        return near
    found = _URL_END.search(text, match.end(), near)
    return found.start() if found else near


def _login_end(rest: str) -> int:
    # The last "@" before the host. A password may hold "@", "#", "?" and even "/" unencoded.
    if _HOST_AND_QUERY.match(rest):
        return -1
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
    if not colon or is_reference(password) or password == "x-oauth-basic":  # noqa: S105 # a fixed word of GitHub
        return f"{user}{colon}{password}"
    return f"{user}{colon}{REDACTED}"
