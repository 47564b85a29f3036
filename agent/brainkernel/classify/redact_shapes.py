"""Secrets that show what they are by their own shape, wherever they stand."""

from __future__ import annotations

import re

from brainkernel.classify.redact_names import REDACTED, looks_random

# Prefixes that their issuers print on every token, each with what follows. All bounded on the left, so that a match
# cannot start inside a word, and without nested repetition: time is linear in the text.
_TOKENS = (
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}",  # AWS
    r"gh[pousr]_[A-Za-z0-9]{20,255}", r"github_pat_\w{20,255}", r"gl(?:pat|dt|rt|ptt|cbt|soat|imt|agent|ft|oas)-[\w.-]{16,255}",
    r"xox[a-z]-[\w.-]{8,255}", r"xapp-[\w-]{16,255}", r"xoxe\.[\w.-]{16,255}",  # Slack
    r"sk-[A-Za-z0-9](?:[\w-]{18,255})", r"gsk_[A-Za-z0-9]{20,128}", r"xai-\w{20,128}", r"pplx-\w{20,128}", r"r8_\w{20,64}", r"nvapi-[\w-]{20,128}",
    r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{8,255}", r"whsec_[A-Za-z0-9+/=]{16,128}",  # Stripe
    r"npm_[A-Za-z0-9]{20,128}", r"pypi-[\w-]{16,512}", r"rubygems_[0-9a-f]{20,128}", r"dckr_(?:pat|oat)_[\w-]{16,128}", r"oy2[a-z0-9]{43}", r"cio[A-Za-z0-9]{32}",
    r"hf_[A-Za-z0-9]{20,128}", r"do[opr]_v1_[0-9a-f]{32,128}", r"AIza[\w-]{30,64}", r"ya29\.[\w-]{16,1024}", r"GOCSPX-[\w-]{16,64}", r"1//0[\w-]{20,255}",
    r"SG\.[\w-]{12,64}\.[\w-]{12,128}", r"key-[0-9a-f]{32}", r"SK[0-9a-f]{32}", r"sq0(?:atp|csp)-[\w-]{20,64}", r"EAA[A-Za-z0-9]{40,512}", r"xkeysib-[\w-]{20,255}",
    r"shp(?:at|ss|ca|pa)_[0-9a-fA-F]{16,64}", r"dapi[0-9a-f]{32}(?:-\d)?", r"hv[sbr]\.[\w-]{16,512}", r"[sbr]\.[A-Za-z0-9]{24}", r"tskey-[\w-]{10,128}",
    r"SWMTKN-1-[\w-]{16,255}", r"lin_api_\w{20,64}", r"ntn_\w{20,64}", r"secret_[A-Za-z0-9]{32,64}", r"fig[du]_[\w-]{20,64}", r"\w{14}\.atlasv1\.[\w-]{32,255}",
    r"AT(?:ATT|BB|CTT)[A-Za-z0-9][\w=-]{16,255}", r"glsa_\w{20,64}", r"glc_[A-Za-z0-9+/=]{32,255}", r"NRAK-[A-Z0-9]{20,64}", r"NR(?:II|AA|JS|RA)-\w{16,64}", r"sntr(?:ys|yu)_[\w=+/-]{20,255}",
    r"dp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{16,128}", r"PMAK-[\w-]{20,128}", r"CFPAT-[\w-]{20,64}", r"AGE-SECRET-KEY-1[A-Z0-9]{20,128}", r"sha256~[\w-]{30,64}",
    r"sbp_[0-9a-f]{20,64}", r"sb_secret_[\w-]{16,64}", r"pscale_(?:tkn|pw|oauth)_[\w.-]{16,64}", r"EZ[AT]K\w{20,64}", r"tvly-[\w-]{16,64}", r"lsv2_(?:pt|sk)_\w{20,128}",
    r"ph[cx]_\w{20,64}", r"dt0[a-z]\d{2}\.[A-Z0-9]{16,64}\.[A-Z0-9]{32,128}", r"pat-(?:na|eu)\d-[0-9a-f-]{32,40}", r"PAT-[A-Za-z0-9-]{20,64}", r"xprv[A-Za-z0-9]{100,120}",
    r"(?:bk|bkua|bkaj)_[A-Za-z0-9]{32,64}", r"CCIPAT_\w{16,128}", r"fo1_[\w-]{20,128}", r"fm[12]r?_[A-Za-z0-9+/=]{30,512}", r"FlyV1 [\w+/=,-]{16,512}", r"rnd_[A-Za-z0-9]{20,64}", r"tk_[a-z0-9]{29}(?![a-z0-9])", r"HRKU-[\w-]{30,80}", r"[0-9a-f]{32}-us\d{1,2}(?!\w)", r"(?:live|test)_[0-9a-f]{35}(?!\w)", r"DHHC-1:\d\d:[A-Za-z0-9+/=]{30,128}", r"vercel_\w{16,64}",
    r"sq?l?a?t?_?(?:sqp|squ|sqa)_[0-9a-f]{40}", r"(?:sqp|squ|sqa)_[0-9a-f]{40}", r"PRIVATE-[A-Z0-9]{32,64}", r"live_\d{6,12}_[A-Za-z0-9]{16,64}",  # SonarQube, Twitch
    r"\d{8,10}:[A-Za-z0-9_-]{35}", r"[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{27,40}",  # Telegram, Discord
    r"eyJ[\w-]{8,8192}\.[\w-]{4,8192}(?:\.[\w-]{0,8192}){0,3}", r"(?:eyJ|ewog)[A-Za-z0-9+/_=-]{60,8192}",  # JWT, and JSON in base64
    r"(?:b3BlbnNzaC1rZXktdjE|LS0tLS1CRUdJTi[A-Za-z0-9+/]{0,40}UFJJVkFURSBLRVk)[A-Za-z0-9+/=]{16,8192}", r"MII[EJC][A-Za-z0-9+/=\\]{200,8192}",  # a private key's base64
    r"(?i:otpauth-migration://)\S{8,1024}", r"[\w~.-]{3}8Q~[\w~.-]{31,34}", r"v1\.0-[0-9a-f]{24}-[0-9a-f]{100,200}",
    r"(?=[A-Z-]*\d)(?=[\d-]*[A-Z])(?:[A-Z0-9]{5}-){3,5}[A-Z0-9]{5}(?![\w-])",  # a product's key
    r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}", r"[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}(?![\w-])", r"S[ACNOUX][A-Z2-7]{56}(?![A-Za-z0-9])",  # Airtable, Mailgun, NATS
    r"(?:rdme|shippo_live|scw|SCWSECRET|pnu|p8e|sl|t1|tfp|v2\.local|v4\.local)_[A-Za-z0-9]{24,128}", r"\$ANSIBLE_VAULT;[\w.;]{3,40}",
)  # fmt: skip
_TOKEN = re.compile(rf"(?<![A-Za-z0-9_])(?:{'|'.join(_TOKENS)})")
_TOKEN_HINT = re.compile(r"[A-Za-z0-9]{2}[_.~:-]|[A-Z0-9]{20}|[A-Za-z0-9+/_=-]{24}")

_PEM = re.compile(
    r"(?P<begin>-----BEGIN[A-Z0-9 ]{0,40} PRIVATE KEY(?: BLOCK)?-----|---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----|PuTTY-User-Key-File-\d:)"
    r".*?(?P<end>-----END[A-Z0-9 ]{0,60}-----|---- END [A-Z0-9 ]{0,60} ----|\Z)",
    re.DOTALL,
)

# Addresses whose path is the secret.
_WEBHOOKS = re.compile(
    r"(?P<keep>hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/|discord(?:app)?\.com/api/(?:v\d{1,2}/)?webhooks/\d{0,30}+/?+|\.webhook\.office(?:365)?\.com/webhookb2/|"
    r"outlook\.office(?:365)?\.com/webhook/|hooks\.zapier\.com/hooks/catch/|maker\.ifttt\.com/trigger/[\w-]{1,64}/with/key/|"
    r"events\.pagerduty\.com/integration/|hc-ping\.com/|afraid\.org/u/|:25000/(?=[0-9a-f]{32}/)|/t/(?=[a-z]{2}-[0-9a-f]{8}-)|hooks\.chime\.aws/incomingwebhooks/|open\.(?:feishu|larksuite)\.\w{2,5}/open-apis/bot/v\d/hook/|"
    r"/(?:hooks?|webhooks?|incoming|services/hooks/incoming-webhook|api/webhook|generic-webhook-trigger)/(?=[A-Za-z0-9_/-]{20}))"
    r"(?P<secret>[^\s\"'<>?#]{8,512})"
)
_APPRISE = re.compile(
    r"(?<![\w])(?P<scheme>slack|discord|tgram|pover|pbul|gotifys?|msteams|ifttt|pagerduty|opsgenie|matrixs?|ntfys?|join|ryver|zulip|twilio|sns|wxteams|mmosts?|rockets?|jsons?|xmls?|spush|boxcar|prowl|signals?|webexteams|telegram|lametric|notica|pushed|pushjet|pushsafer|sendgrid|mailgun|streamlabs)://(?P<rest>[^\s\"'<>]{12,512})"
)
# rtmp://host/app/KEY: the last part is the stream's key.
_STREAM = re.compile(r"(?<!\w)rtmp[a-z]{0,2}://[^\s\"']++")
_STREAM_NAME = re.compile(r"[a-z]{1,24}\d{0,4}")
_TELEGRAM = re.compile(r"(?P<keep>api\.telegram\.org/(?:file/)?bot)(?P<secret>[\w:-]{8,128})")


# The words of a wallet's seed (BIP 39): 12 to 24 of them, three to eight letters each. Sentences have shorter ones between.
_MNEMONIC_BLANKS = (11, 14, 17, 20, 23)
_MNEMONIC = re.compile(r"[a-z]{3,8}(?: [a-z]{3,8}){11,23}")


def without_shapes(text: str) -> str:
    """Replace tokens, private keys and webhook addresses that are known by their form."""
    if "PRIVATE KEY" in text or "PuTTY-User" in text:
        text = _PEM.sub(lambda m: f"{m['begin']}{REDACTED}{m['end']}", text)
    if text.count(" ") in _MNEMONIC_BLANKS and _MNEMONIC.fullmatch(text):
        return REDACTED
    if "/" in text:
        text = _WEBHOOKS.sub(lambda m: m["keep"] + REDACTED, text)
        text = _TELEGRAM.sub(lambda m: m["keep"] + REDACTED, text)
        text = _STREAM.sub(lambda m: _without_stream_key(m[0]), text)
        text = _APPRISE.sub(_without_apprise_key, text)
    return _TOKEN.sub(REDACTED, text) if _TOKEN_HINT.search(text) else text


def _without_stream_key(address: str) -> str:
    head, slash, key = address.rpartition("/")
    named = head.count("/") < 3 or len(key) < 8 or _STREAM_NAME.fullmatch(key)  # noqa: PLR2004 # rtmp://host/app
    return address if named or key.startswith(REDACTED) else f"{head}{slash}{REDACTED}"


def _without_apprise_key(match: re.Match[str]) -> str:
    secret = any(looks_random(part) for part in re.split(r"[/@:?&=]", match["rest"]))
    return f"{match['scheme']}://{REDACTED}" if secret else match[0]
