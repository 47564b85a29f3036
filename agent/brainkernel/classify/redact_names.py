"""Which names stand for a secret, and which values under such a name are one."""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from functools import lru_cache
from itertools import pairwise

REDACTED = "<redacted>"
CERTAIN = 2  # of `strength_of`: whatever the value looks like
_JOINED_CHARS_MAX = 12
_REFERENCE_CHARS_MAX = 300

# A name is cut into words: "MYSQL_ROOT_PASSWORD", "keyStorePassword", "auth.password", "x-api-key".
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")
_NOT_DECOMPOSED = str.maketrans("łŁøØđĐıß", "lLoOdDis")  # Unicode has no letter and mark for these


def _folded(name: str) -> str:
    # "contraseña" and "contrasena" are one name: people drop the marks where a keyboard has none.
    if name.isascii():
        return name
    return "".join(c for c in unicodedata.normalize("NFKD", name.translate(_NOT_DECOMPOSED)) if not unicodedata.combining(c))


def _words_of(name: str) -> list[str]:
    words = [w.lower() for w in _WORD.findall(_folded(name[-160:]))]
    while words and (words[-1].isdecimal() or (words[-1] == "v" and len(words) > 1)):  # password1, token_v2
        words.pop()
    if words and words[-1].endswith("key") and words[-1][:-3] in _SECRET_KEYS:  # activationkey
        words[-1:] = [words[-1][:-3], "key"]
    return words


# What other languages call a password, in the names that programs of those countries use.
_FOREIGN = (
    "contraseña contrasenya clave senha passe motdepasse mdp parola wachtwoord lösenord adgangskode passord salasana hasło heslo jelszo geslo "
    "lozinka şifre geheimnis пароль 密码 密碼 パスワード 비밀번호"
)

# The last word decides. Strong: any value is a secret. Weak: only a value that looks like one.
_STRONG = frozenset(
    "password passwd passphrase passwort kennwort passcode passwords pass pwd pw psk pin puk secret secrets token apikey authtoken "
    "accesstoken privatekey secretkey accesskey accountkey masterkey sessionkey signingkey encryptionkey sharedkey presharedkey licensekey "
    "bearer jwt authorization cookie cookies mnemonic otp totp seedphrase webhook requirepass masterauth storepass keypass userpass dbpass "
    "credential authkey sas sessionid sessid phpsessid csrftoken xsrf pgpassword userpwd passkey mypass secretid wpapsk pskhex "
    f"{_folded(_FOREIGN)} nkey storepasswd upw opw apitoken clientsecret sshpass nthash lmhash aeskey rpcpassword setcookie authtok".split()
)
_WEAK = frozenset("appid key auth sig signature salt seed session sid code nonce login creds credentials hexkey api ticket".split())
# "key" after one of these is a secret key whatever it looks like; after others only if it looks like one.
_SECRET_KEYS = frozenset(
    "api secret access private account master encryption signing shared preshared auth license licence app client service storage stream "
    "deploy activation registration integration application crypt customer hmac wep wpa authentication decryption".split()
)
_OTHER_KEYS = frozenset(
    "cache sort partition primary foreign public pub host recv group object index hot short routing idempotency range row order map unique "
    "edit quick refresh locate ref known trusted socket surrogate dnssec search send list export import default gpg pgp fetch delete sign hash compose meta super modifier on no lang lsign".split()
)
# "password" and its like after one of these is a switch or a number, not a name for a secret.
_NOT_BEFORE = frozenset(
    "no without max min num with ask require requires use forget skip disable enable reset show generate gen list count change expire get "
    "read print force total check validate new-line is has allow next per prompt n lower existing pull from external".split()
)
_MANNERS = frozenset("inline value plain plaintext text string literal raw".split())  # how it is given: --password-inline, TOKEN_VALUE
_REFERENCE_WORDS = frozenset(
    "true false yes no none null nil on off stdin prompt ask env auto required optional disabled enabled never always default keep file "
    "undefined publickey keyboard-interactive gssapi plain files keyring file- encrypted inherit".split()
)
_VARIABLE = re.compile(
    r"\$(?:\w+|\{[^{}]{1,200}\}|\(.*|\W?|\{\{.*)|`.*|%\w+%|%[sd]|\{\{.*\}\}|\{\w*\}|<[\w ./:-]{1,60}>|\[\w+\]|[*xX•]{3,}(?:/\w?)?|\[[\w^-]+\][*+?]?|[A-Za-z_.]+\((?:[)\"'\\].*)?|\.[*+].*|\\+[SwWdb][*+]?.*|\[\^.*|\.{3}|\?+",
    re.DOTALL,
)
_PATH = re.compile(
    r"(?:@?(?:(?:[\w.-]{1,64}:)?/(?:etc|var|run|home|root|usr|opt|srv|tmp|dev|proc|mnt|media|data|app|secrets?|vault|builds?|boot|sys|workspace|config|certs?|keys?|Users|"
    r"work|lib|snap|nix|sbin|bin)(?:/|$)|~[\w.-]*/|\.{1,2}/)[^\s]*)|@[\w./-]+\.[a-z]{2,5}"
)
_FILE_NAME = re.compile(
    r"[\w./@+-]{1,120}\.(?:pem|key|crt|cer|der|csr|json|ya?ml|txt|p12|pfx|jks|gpg|asc|pub|env|toml|ini|conf|cfg|c|h|cc|cpp|py|js|ts|go|rs|php|sh|kdbx|db|xml|html?|md|log|sql|rlib|rmeta|so|dylib|jar|war|java|rb|lua|dat|out|o|d|secret|pw|tar|gz)"
)
_SOURCE = re.compile(r"(?:env|fileb?|fd|stdin|cmd|vault|arn|ref|secretRef|awskms|gcpkms|pkcs11|keyring|op|ssm|sm)(?::.*)?", re.DOTALL)
_CHECKSUM = re.compile(r"(?:sha\d{1,3}|md5|blake\w{1,3})[:-]", re.IGNORECASE)
LOGIN_NAME = re.compile(r"(?:auth|creds?|credentials?|login|user-?pass|user-?pwd)$")
LOGIN = re.compile(r"[\w.@\\-]{1,64}:(?!//)[^\s:].{2,256}")
_PLAIN_SIGNS = re.compile(r"[-_./:,@=]")  # of names, versions and paths
_BASE64_WORD = re.compile(r"(?:base64:)?[A-Za-z0-9+/_-]{22,256}={0,2}")
_DISGUISED = re.compile(r"(?i)p[a@4][s$5]{2}w(?:[o0]r)?d|p@[s$5]{2}|s[e3]cr[e3]t")
_PLACE = re.compile(r"[=\s.]")
_SHORT_KEY = re.compile(r"[A-Za-z0-9]{16,21}")
_BASE32 = re.compile(r"(?=(?:[A-Z]*[2-7]){3})(?:[A-Z2-7]{32}|[A-Z2-7]{52}|[A-Z2-7]{56})")  # a seed of one-time passwords
_CODED = re.compile(r"(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_FILE_IN_BASE64 = (
    "iVBORw0KGgo",
    "/9j/",
    "R0lGOD",
    "PHN2Zy",
    "UklGR",
    "H4sI",
    "UEsDB",
    "JVBERi",
    "AAABAA",
    "PD94bWw",
    "f0VMR",
)  # pictures, archives, programs
_STRONG_PASSWORD = re.compile(
    r"(?=[^A-Z]{0,39}[A-Z])(?=[^a-z]{0,39}[a-z])(?=[^0-9]{0,39}[0-9])(?=[^!#$%&^]{0,39}[!#$%&^])[A-Za-z0-9!#&^][A-Za-z0-9!#$%&^~_.:+@*?-]{7,39}"
)
# What has all four kinds of characters and is none: Class#method1, Outer$Inner1, HEAD^1, a#12, %20, strftime, s#x#y#.
_NO_PASSWORD = re.compile(
    r"[\w.:-]+[#$^][A-Za-z_]?\w*|.*%(?:[0-9A-F]{2}|[A-Za-z]\b).*|s#.*#.*#\w?|[\w.:-]+%[\w.-]+|[\w.-]+&[\w.-]+|.*:\d+.*"
)
_READABLE = re.compile(r"[a-z]{7}|[A-Z]{9}|\d{9}|[0-9a-f]{12}|(?:[-_].*){5}|(.)\1{4}")  # words and numbers that a person joined
_COUNT = re.compile(r"\d{1,9}(?:\.\d+)?[kKmMgG]?|0x[0-9a-fA-F]{1,4}")


@lru_cache(maxsize=512)
def strength_of(name: str) -> int:  # noqa: PLR0911 # a list of rules
    """How surely a value under this name is a secret: 2 always, 1 if it looks like one, 0 never."""
    words = _words_of(name)
    if not words:
        return 0
    if words[-1] in _MANNERS and strength_of("-".join(words[:-1])) == CERTAIN:
        return CERTAIN
    if "".join(words[-3:]) == "secretkeybase" or words[-2:] == ["account", "key"]:
        return 2
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    joined = "".join(words)
    if last == "key":
        if before in _OTHER_KEYS or words == ["user", "signing", "key"]:  # of git: which key, not the key
            return 0
        return 2 if before in _SECRET_KEYS or "secret" in words or "private" in words else 1
    if last in ("extraheader", "headers", "header"):
        return 0
    if last in _STRONG or _ends_like_password(last) or (len(words) <= 3 and joined in _STRONG):  # noqa: PLR2004 # "api token"
        return 0 if before in _NOT_BEFORE else 2
    if last in ("digest", "hash") and strength_of(before) == CERTAIN:
        return 1
    if last == "id" and before in ("secret", "session"):
        return 2 if before == "secret" else 1
    return 1 if last in _WEAK or last.endswith("auth") or words == ["user"] else 0


def _ends_like_password(word: str) -> bool:
    # PGPASSWORD, SSHPASS, rootpw, dbpassword, mytoken: no separator to cut at.
    return word.endswith(("password", "passwd", "passphrase", "secret", "apikey", "authtoken", "passwort")) or (
        len(word) <= _JOINED_CHARS_MAX and word.endswith(("pass", "pwd", "pw")) and word not in ("autopass", "bypass", "compass", "trespass", "overpass", "underpass", "cwd")
    )  # fmt: skip


def is_secret(name: str, value: str) -> bool:
    """Whether a value under a name must not leave."""
    strength = strength_of(name)
    if strength == 0 or is_reference(value):
        return False
    if strength == 1:
        if value[:1] in ("{", "["):
            return False  # what is inside is looked at by itself
        return looks_random(value) or looks_chosen(value) or bool(LOGIN_NAME.search(name) and LOGIN.fullmatch(value))
    words = _words_of(name)
    if words == ["pass"]:
        return value not in ("1", "2", "3")  # of an encoder
    return not (words[-1] == "token" and _COUNT.fullmatch(value))


def is_reference(value: str) -> bool:
    """Whether a value only says where the secret is: a variable, a file, a placeholder, a switch."""
    bare = value.strip("\"'\\ ")
    return (
        not bare
        or bare in ("-", "--", "!", "!!", "*", "<")
        or bare.startswith(REDACTED)
        or bare.lower() in _REFERENCE_WORDS
        or (
            len(bare) < _REFERENCE_CHARS_MAX
            and bool(_VARIABLE.fullmatch(bare) or _PATH.fullmatch(bare) or _FILE_NAME.fullmatch(bare) or _SOURCE.fullmatch(bare))
        )
    )


def looks_random(value: str) -> bool:
    """Whether a string looks made by a generator: long, without spaces, letters and digits mixed."""
    bare = value.strip("\"'\\").removeprefix("0x")
    if _CHECKSUM.match(bare):
        return False
    if not 16 <= len(bare) <= 1024 or not bare.isascii() or any(c.isspace() for c in bare):  # noqa: PLR2004
        return _is_coded_login(bare)
    digits = sum(c.isdigit() for c in bare)
    letters = sum(c.isalpha() for c in bare)
    if digits + letters < 0.85 * len(bare) or letters == 0:
        return False
    if all(c in "0123456789abcdefABCDEF" for c in bare):
        return digits > 0 and len(bare) >= 24  # noqa: PLR2004 # 96 bits
    changes = sum(_kind(a) != _kind(b) for a, b in pairwise(bare))
    return (digits >= 2 and changes >= len(bare) / 5) or (digits > 0 and changes >= len(bare) / 3) or _is_coded_login(bare)  # noqa: PLR2004


def is_mixed(word: str) -> bool:
    """Whether a word has what names have not: digits among letters of both cases."""
    return len(word) >= 10 and {0, 1, 2} <= {_kind(c) for c in word} and not _READABLE.search(word)  # noqa: PLR2004


def looks_chosen(value: str) -> bool:
    """Whether a string looks like a password that a person made up: a letter, a digit and a sign or both cases."""
    bare = value.strip("\"'\\")
    kinds = {_kind(c) for c in _PLAIN_SIGNS.sub("", bare)}
    enough = (0 in kinds and len(kinds) > 2) or ({1, 2} <= kinds and not bare.isascii())  # noqa: PLR2004
    return 8 <= len(bare) <= 64 and enough and not any(c.isspace() for c in bare)  # noqa: PLR2004


def is_bare_secret(word: str) -> bool:
    """Whether a whole argument is a secret by its look alone, whatever stands before it."""
    return len(word) >= 8 and (  # noqa: PLR2004 # no password of all four kinds is shorter
        is_bare_key(word)
        or bool(_BASE32.fullmatch(word))
        or _is_bare_login(word)
        or _is_disguised(word)
        or bool(_STRONG_PASSWORD.fullmatch(word) and not _NO_PASSWORD.fullmatch(word))
    )


def _is_disguised(word: str) -> bool:
    # "P@ssw0rd1": nobody writes these words so but in a password
    if word[0] == "-" or "/" in word or len(word) > 64 or word.isalpha():  # noqa: PLR2004
        return False
    found = _DISGUISED.search(word)
    return found is not None and not found[0].isalpha() and not _PLACE.search(word)


def _is_bare_login(word: str) -> bool:
    # base64 of "user:password" that nothing announces
    if not 12 <= len(word) <= 200 or not _CODED.fullmatch(word):  # noqa: PLR2004
        return False
    try:
        plain = base64.b64decode(word, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return False
    return bool(LOGIN.fullmatch(plain)) and plain.isprintable() and " " not in plain


def is_bare_key(word: str) -> bool:
    """Whether a whole argument is a key by its entropy alone: base64 of 16 bytes and more. Digests and ids are not: they are hexadecimal."""
    if (
        not _BASE64_WORD.fullmatch(word)
        or word.startswith(("AAAA", "/", "--", "Qm", "bafy", *_FILE_IN_BASE64))
        or _CHECKSUM.match(word)
        or _READABLE.search(word)
    ):
        return False
    body = word.rstrip("=")
    kinds = {_kind(c) for c in body}
    return (
        {0, 1, 2} <= kinds
        and len(set(body)) >= min(18, len(body) * 2 // 3)  # of 64, by chance some 25 in 32
        and sum(c.isdigit() for c in body) >= 3  # noqa: PLR2004
        and sum(_kind(a) != _kind(b) for a, b in pairwise(body)) >= len(body) / 3
    )


def is_short_key(value: str) -> bool:
    """Whether the value of an option that says nothing is a key: shorter than those that stand for themselves."""
    return (
        bool(_SHORT_KEY.fullmatch(value))
        and not value.startswith("0x")
        and {0, 1, 2} <= {_kind(c) for c in value}
        and not _READABLE.search(value)
        and sum(_kind(a) != _kind(b) for a, b in pairwise(value)) >= len(value) / 3
    )


def _kind(char: str) -> int:
    return 0 if char.isdigit() else 1 if char.islower() else 2 if char.isupper() else 3


def _is_coded_login(text: str) -> bool:
    # base64 of "user:password", as in docker's config.json and in basic authentication
    if not 8 <= len(text) <= 400 or not re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", text):  # noqa: PLR2004
        return False
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return False
    return ":" in plain and plain.isprintable()
