"""What tells who a person is: home names, mail addresses, addresses on the Internet."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

USER = "<user>"
MAIL = "<mail>"
ADDRESS = "<ip>"

# Accounts of roles and distributions; they name nobody.
ROLES = frozenset(
    "root git www-data postgres mysql redis mongodb ubuntu debian ec2-user centos fedora admin administrator deploy deployer nobody backup ops "
    "vagrant pi user users runner gitlab-runner jenkins circleci build builder ci app node linuxbrew lost+found shared public guest test daemon "
    "bin sys mail postmaster noreply no-reply hg svn ftp nginx apache http web docker core rocky almalinux opc azureuser cloud-user kali steam "
    "minecraft elasticsearch grafana prometheus rabbitmq zabbix nagios ansible terraform puppet salt systemd sshd dbus www oracle tomcat vmail "
    "default me you myuser username user1 developer dev developer1 workspace projects data common home share install info support webmaster abuse".split()
)
_NAME = r"[^\s/\\:;,'\"<>|&()$*?{}\[\]=%`!#@]{1,64}"
_HOME = re.compile(
    rf"(?P<dir>/(?:home|Users|export/home|var/home|media|run/media|var/mail|var/spool/mail|var/spool/cron/crontabs|var/lib/AccountsService/users|var/lib/systemd/linger)/|"
    rf"(?:%2[Ff])(?:home|Users)%2[Ff]|[A-Za-z]:\\{{1,4}}Users\\{{1,4}}|(?<![\w/.~])~(?=[^\s/]{{1,64}}/))(?P<name>{_NAME})(?P<then>/|\\|%2[Ff])?"
)
_NOT_A_HOME = re.compile(r".*\.(?:tar|gz|tgz|xz|zst|zip|sql|img|iso|log|bak|txt|qcow2|deb|rpm|json|yaml|sh|py)")
_MEDIA_NAMES = ("cdrom", "floppy", "usb", "disk", "usb0", "usb1", "sdcard")
_MAIL = re.compile(
    r"(?<![\w.+%/@-])(?P<local>[A-Za-z0-9][\w.+-]{0,63}|<user>)(?P<at>@|%40)(?P<domain>(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.){1,6}(?P<top>[A-Za-z]{2,18}))(?![\w-]|\.\w)(?P<path>:(?!\d|//))?"
)
_UNIT_SUFFIXES = frozenset("service socket timer mount automount slice scope target path device swap conf git py js so json".split())
_MAIL_OPTION = re.compile(
    r"mail|^-{0,2}(?:from|to|cc|bcc|recipient|sender|reply-to|local-user|r|R|f|t|mf|mt)$|^--(?:author|committer|encrypt-to)"
)
_LOGIN_ON_HOST = re.compile(r"(?<![\w.+%/@:-])(?P<name>[A-Za-z]{1,32}[._][A-Za-z]{2,32})(?=@[\w\[<])")  # first.last, as in a directory
_SSH_LIKE = frozenset("ssh scp sftp rsync mosh sshfs ssh-copy-id autossh git sshuttle rsnapshot borg restic lftp telnet rlogin".split())

_IPV4 = re.compile(r"(?<![\w.])(?P<ip>(?:\d{1,3}\.){3}\d{1,3})(?!\w|\.\d|[-~+]\w)")
_IPV6 = re.compile(
    r"(?<![\w:.])(?P<ip>(?:[0-9A-Fa-f]{1,4}:){2,7}(?::?[0-9A-Fa-f]{1,4}){0,7}|(?:[0-9A-Fa-f]{1,4}:){1,7}:(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,6})?)(?![\w:]|\.\d)"
)
# Everybody's resolvers and time: they tell nothing about the host.
_KNOWN_ADDRESSES = frozenset(
    "8.8.8.8 8.8.4.4 1.1.1.1 1.0.0.1 9.9.9.9 149.112.112.112 208.67.222.222 208.67.220.220 4.2.2.1 4.2.2.2".split()
)
_DOCUMENTATION = tuple(ipaddress.ip_network(n) for n in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"))
_VERSION_BEFORE = re.compile(r"(?:(?:version|ver|tag|release|rev)[\"']?[=: ]{0,2}|[=><~!]=|(?<!/)/[\w.-]{1,24}:|[-~+_])$", re.IGNORECASE)


def names_in(texts: Iterable[str]) -> frozenset[str]:
    """The home names that occur in paths, except those of roles."""
    found: set[str] = set()
    for text in texts:
        if "/" in text or "\\" in text or "%2" in text:
            found.update(m["name"] for m in _HOME.finditer(text) if _is_person(m))
    return frozenset(found)


def without_person(text: str, *, names: frozenset[str] = frozenset(), option: str = "", program: str = "") -> str:
    """Replace what identifies a person. `option` and `program` are the context of the text, as far as there is one."""
    if "/" in text or "\\" in text or "~" in text or "%2" in text:
        text = _HOME.sub(lambda m: f"{m['dir']}{USER}{m['then'] or ''}" if _is_person(m) else m[0], text)
    for name in names:
        # A short name may be an ordinary word; as a path it has been replaced above.
        if name in text and (len(name) >= 6 or any(c in name for c in "._-")):  # noqa: PLR2004
            text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)", USER, text)
    if "@" in text or "%40" in text:
        text = _MAIL.sub(lambda m: _mail(m, option, program), text)
        if program in _SSH_LIKE:
            text = _LOGIN_ON_HOST.sub(USER, text)
    if "." in text:
        text = _IPV4.sub(_address, text)
    return _IPV6.sub(_address, text) if text.count(":") > 1 else text


def _is_person(match: re.Match[str]) -> bool:
    name = match["name"]
    if name.lower() in ROLES or name.startswith((".", "-", "+")):
        return False
    if match["dir"].endswith("media/") and (not match["then"] or name in _MEDIA_NAMES):
        return False
    return bool(match["then"]) or not _NOT_A_HOME.fullmatch(name)


def _mail(match: re.Match[str], option: str, program: str) -> str:
    local, domain, path = match["local"], match["domain"], match["path"] or ""
    if match["top"].lower() in _UNIT_SUFFIXES or domain.endswith(".gserviceaccount.com"):
        return match[0]
    is_mail = bool(_MAIL_OPTION.search(option))
    if local.lower() in ROLES and not is_mail:
        return match[0]
    if (not is_mail and (path or program in _SSH_LIKE) and program not in ("", "git")) or path:
        return f"{USER}{match['at']}{domain}{path}"  # a login on a host, which is not a mail address
    return MAIL + path


def _address(match: re.Match[str]) -> str:
    text = match["ip"]
    before = match.string[max(0, match.start("ip") - 24) : match.start("ip")]
    if text in _KNOWN_ADDRESSES or (":" not in text and _VERSION_BEFORE.search(before) and not before.endswith("://")):
        return match[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return match[0]
    if address.is_multicast or address.is_unspecified or (address.version == 4 and (address.packed[0] == 0 or address.packed[0] >= 224)):  # noqa: PLR2004
        return match[0]
    documented = any(address.version == n.version and address in n for n in _DOCUMENTATION)
    return match[0].replace(text, ADDRESS) if address.is_global or documented else match[0]
