"""Which new edges of the process tree are no news: what a parent of this kind starts anyway.

A package manager runs scripts, a build runs what it built, a mail server delivers, logrotate compresses. nginx -> sh is none
of these, nor is make -> nc: an edge is ordinary only if it stands here, so an attacker gains nothing by a new name.
Programs from writable or hidden places are always news, and so is code on a command line.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brainkernel.model import Exec

_SYSTEM = ("/usr/", "/bin/", "/sbin/", "/lib/", "/opt/", "/snap/", "/etc/", "/var/lib/dpkg/", "/app/")
_PROJECT = re.compile(r"/(?:node_modules|target/(?:debug|release)|CMakeFiles|_build|venv|\.venv|\.tox)/")
_ODD_PLACE = re.compile(r"^/(?:tmp|var/tmp|dev/shm|run/user|proc)/|/\.(?!venv/|tox/|cargo/|rustup/|nvm/)|^/?memfd:| \(deleted\)$")
_VERSION = re.compile(r"[-.]?\d[\d.]*$")
# What speaks to other hosts, or is handed to them: never ordinary below a machine's own work.
_OUTWARD = frozenset("nc netcat ncat socat telnet curl wget ftp tftp nmap ssh scp sftp rsync openssl xmrig minerd".split())
_SHELLS = frozenset("sh bash dash zsh ash busybox".split())
_INTERPRETERS = _SHELLS | frozenset("python perl ruby node php lua awk gawk mawk".split())
_INLINE = re.compile(r"-\w*[cer]\w*|--eval|--command")
_COMPRESSORS = frozenset("gzip bzip2 xz zstd lz4 pigz pbzip2 zgrep compress".split())
_PACKAGING = frozenset("dpkg apt apt-get aptitude rpm dnf yum zypper pacman apk dpkg-preconfigure debconf frontend update-rc.d".split())
_BUILDING = frozenset(
    "make gmake ninja cmake ctest meson scons cargo rustc go gcc g++ cc c++ clang clang++ collect2 ccache distcc libtool node npm npx "
    "yarn pnpm mvn gradle ant bazel tox dh dpkg-buildpackage debuild rpmbuild pytest".split()
)
_DESKTOP = frozenset(
    "gnome-shell plasmashell kwin_wayland xfce4-session xfce4-panel xfdesktop cinnamon mate-panel lxpanel lxqt-panel nautilus dolphin "
    "nemo caja thunar pcmanfm gnome-session gnome-session-binary kded5 kded6 krunner sway i3 budgie-panel".split()
)
# Parents that start a few others by their purpose.
_PAIRS = {
    "logrotate": _COMPRESSORS | _SHELLS,
    "tar": _COMPRESSORS,
    "man": frozenset(("less", "groff", "troff", "nroff", "preconv", "tbl", "col", "mandb", "pager")),
    "sshd": frozenset(("sshd", "sshd-session", "sftp-server", "bash", "zsh", "fish", "dash")),
    "local": frozenset(("procmail", "maildrop", "dovecot-lda", "spamc", "vacation")),
    "pipe": frozenset(("procmail", "maildrop", "dovecot-lda", "deliver", "spamc", "vacation")),
    "exim": frozenset(("exim", "procmail", "maildrop", "dovecot-lda")),
    "master": frozenset(
        "smtpd smtp qmgr pickup cleanup local pipe tlsmgr anvil bounce trivial-rewrite proxymap scache showq lmtp error".split()
    ),
    "containerd-shim-runc-v": _SHELLS | {"runc"},
    "containerd-shim": _SHELLS | {"runc"},
    "conmon": _SHELLS | {"runc", "crun"},
    "java": frozenset(("git", "ssh", "git-remote-http", "mvn", "gradle", "java")),
    "gitlab-runner": frozenset(("git", "bash", "sh", "git-remote-http")),
    "Runner.Worker": frozenset(("git", "bash", "sh", "node", "tar", "git-remote-http")),
    "git": frozenset(("git", "git-remote-http", "ssh", "less", "sh", "gpg", "git-lfs")),
    "mysqld_safe": frozenset(("mariadbd", "mysqld")),
    "cupsd": frozenset(("ipp", "socket", "usb", "dnssd", "lpd", "gs", "pdftops", "foomatic-rip", "cups-exec")),
    "smartd": frozenset(("mail", "sh", "smartctl")),
    "udisksd": frozenset(("mount", "umount", "fsck", "ntfs-", "mkfs")),
}


def is_ordinary(event: Exec) -> bool:
    """Whether a program start is what its parent does for a living, whoever is started for the first time."""
    exe, parent = event.exe, _name_of(event.parent_exe)
    if event.marks or _ODD_PLACE.search(exe) or not event.parent_exe.startswith(_SYSTEM):
        return False
    name = _name_of(exe)
    if name in _INTERPRETERS and any(_INLINE.fullmatch(a) for a in event.argv[1:3]):
        return False  # what it runs stands in its arguments, whoever started it
    if parent in _PAIRS:
        return name in _PAIRS[parent] and exe.startswith(_SYSTEM)
    return name not in _OUTWARD and _is_work_of(parent, name, exe)


def _is_work_of(parent: str, name: str, exe: str) -> bool:
    in_system = exe.startswith(_SYSTEM)
    if parent in _PACKAGING:
        return in_system
    if parent in _BUILDING:
        # A build runs what it built; but "node" is a server, too, and a server that starts a shell is news.
        return bool(_PROJECT.search(exe)) or (parent not in ("node", "go") and in_system)
    return parent in _DESKTOP and in_system and name not in _SHELLS


@functools.lru_cache(maxsize=1024)
def _name_of(path: str) -> str:
    name = path.rpartition("/")[2]
    return _VERSION.sub("", name.removesuffix(".openbsd").removesuffix(".traditional")) or name
