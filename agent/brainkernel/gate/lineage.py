"""Which new edges of the process tree are no news: what a parent of this kind starts anyway.

A package manager runs scripts, a build runs what it built, a mail server delivers, logrotate compresses; a program starts itself
again, or its own parts that lie beside it or in a directory of its name under /usr/lib. nginx -> sh is none of these, nor is
make -> nc: an edge is ordinary only if it stands here, so an attacker who cannot write to /usr/lib gains nothing by a new name.
Programs from writable or hidden places are always news, and so is code on a command line.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from brainkernel.model import Mark

if TYPE_CHECKING:
    from brainkernel.model import Exec

_FIRST_HUMAN_UID = 1000  # of Debian's login.defs
_HIDDEN = frozenset({Mark.HIDDEN_DIR})
_PACKAGED = ("/usr/bin/", "/usr/sbin/", "/usr/lib/", "/usr/libexec/", "/bin/", "/sbin/", "/lib/")
_SYSTEM = ("/usr/", "/bin/", "/sbin/", "/lib/", "/opt/", "/snap/", "/etc/", "/var/lib/dpkg/", "/app/")
_PROJECT = re.compile(
    r"/(?:node_modules|target/(?:debug|release)|CMakeFiles|_build|venv|\.venv|\.tox)/"
    r"|/\.(?:rustup/toolchains|nvm/versions|pyenv/versions|rbenv/versions|sdkman/candidates)/[^/]"
)
_ODD_PLACE = re.compile(
    r"^/(?:tmp|var/tmp|dev/shm|run/user|proc)/|(?<!/node_modules)/\.(?!venv/|tox/|cargo/|rustup/|nvm/|pyenv/|rbenv/|sdkman/)|^/?memfd:| \(deleted\)$"
)
_PARTS = re.compile(r"/(?:usr/)?lib(?:exec|64)?/")  # where programs keep their parts
_JOB_OF_DEBIAN = re.compile(
    r"/etc/cron\.(?:hourly|daily|weekly|monthly)/(?:apt-compat|dpkg|man-db|logrotate|exim4-base|[mp]?locate|apache2|bsdmainutils|e2scrub_all"
    r"|php|popularity-contest|passwd|debsums|aide|sysstat|samba|cracklib-runtime)"
)
_LETTERS = re.compile(r"[A-Za-z]{4,}")
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
_LOGIN_SHELLS = frozenset("bash zsh fish dash sh ksh mksh tcsh".split())
_MADE_FOR_PAGES = frozenset(
    "sendmail exim postdrop convert magick mogrify identify gs ffmpeg ffprobe pdftotext pdftoppm pdfinfo pdftk wkhtmltopdf jpegoptim "
    "optipng pngquant cwebp gifsicle rsvg-convert rotatelogs php-fpm".split()
)
_PAIRS = {
    # By name only: a unit is how intruders stay, and some call their program /usr/lib/systemd/systemd-something.
    "systemd": frozenset(
        "fstrim logrotate mandb updatedb updatedb.plocate updatedb.mlocate anacron apt-helper e2scrub_all e2scrub xfs_scrub_all dpkg-db-backup "
        "fwupdmgr fwupd packagekitd udisksd upowerd accounts-daemon polkitd rtkit-daemon colord geoclue bluetoothd ModemManager "
        "wpa_supplicant NetworkManager chronyd cupsd cups-browsed avahi-daemon dbus-daemon dbus-broker-launch smartd irqbalance "
        "thermald agetty getty sshd pipewire pipewire-pulse wireplumber pulseaudio gpg-agent dirmngr ssh-agent xdg-desktop-portal "
        "rsyslogd cron atd unattended-upgrade mdadm btrfs fsck swapon swapoff mount umount kmod udevadm ldconfig".split()
        + [
            f"systemd-{part}"
            for part in "journald logind udevd resolved networkd timesyncd hostnamed localed timedated machined tmpfiles sysusers random-seed "
            "update-utmp user-sessions user-runtime-dir fsck remount-fs modules-load sysctl backlight rfkill shutdown executor oomd "
            "coredump sleep binfmt growfs vconsole-setup homed userdbd userwork cryptsetup pstore".split()
        ]
    ),
    **dict.fromkeys(("php-fpm", "apache"), _MADE_FOR_PAGES),
    **dict.fromkeys(
        "gnome-terminal-server kgx konsole xterm kitty alacritty foot xfce4-terminal tilix terminator tmux screen zellij".split(),
        _LOGIN_SHELLS,
    ),
    "agetty": frozenset(("login",)),
    "login": _LOGIN_SHELLS,
    "containerd": frozenset(("containerd-shim", "containerd-shim-runc-v", "runc", "crun")),
    "dockerd": frozenset("containerd docker-proxy docker-init runc xtables-nft-multi iptables ip6tables nft kmod modprobe".split()),
    "kubelet": frozenset("mount umount du df xtables-nft-multi iptables ip6tables systemd-run".split()),
    "smbd": frozenset(("samba-dcerpcd", "samba-bgqd", "smbd")),
    "NetworkManager": frozenset("nm-dispatcher nm-priv-helper nm-openvpn-service dhclient dhcpcd pppd wpa_supplicant".split()),
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
    # Not every hidden directory is odd: tools of a language lie in some.
    if not event.marks <= _HIDDEN or _ODD_PLACE.search(exe) or not event.parent_exe.startswith(_SYSTEM):
        return False
    name = _name_of(exe)
    if name in _INTERPRETERS and any(_INLINE.fullmatch(a) or _ODD_PLACE.search(a) for a in event.argv[1:3]):
        return False  # what it runs stands in its arguments, whoever started it
    if parent == "systemd":
        return exe.startswith(_PACKAGED) and (name in _PAIRS[parent] or (event.uid >= _FIRST_HUMAN_UID and exe.startswith("/usr/libexec/")))
    if parent == "run-parts":
        return name in _SHELLS and any(_JOB_OF_DEBIAN.fullmatch(a) for a in event.argv[1:2])
    if parent in _PAIRS:
        return exe.startswith(_SYSTEM) and (name in _PAIRS[parent] or _is_own_part(event.parent_exe, parent, exe, name))
    return name not in _OUTWARD and (_is_own_part(event.parent_exe, parent, exe, name) or _is_work_of(parent, name, exe))


def _is_own_part(parent_exe: str, parent: str, exe: str, name: str) -> bool:
    if parent in _INTERPRETERS or name in _INTERPRETERS:
        return False
    if exe == parent_exe:
        return True
    if not (place := _PARTS.match(exe)):
        return False
    directory = exe.rpartition("/")[0]
    if directory == parent_exe.rpartition("/")[0] and len(directory) > place.end():
        return True
    letters = _LETTERS.match(parent)
    stem = letters[0].removesuffix("d") if letters else ""
    return len(stem) >= 4 and any(part.startswith(stem) for part in exe[place.end() :].split("/"))  # noqa: PLR2004 # dovecot/anvil, cups/filter


def _is_work_of(parent: str, name: str, exe: str) -> bool:
    in_system = exe.startswith(_SYSTEM)
    if parent in _PACKAGING:
        return in_system
    if parent in _BUILDING:
        # A build runs what it built; but "node" is a server, too, and a server that starts a shell is news.
        return bool(_PROJECT.search(exe)) or (parent not in ("node", "go") and in_system)
    # D-Bus starts what the files of packages name; a user's own such files lie in his home.
    return (parent in _DESKTOP or parent.startswith("dbus-")) and in_system and name not in _SHELLS


@functools.lru_cache(maxsize=1024)
def _name_of(path: str) -> str:
    name = path.rpartition("/")[2]
    return _VERSION.sub("", name.removesuffix(".openbsd").removesuffix(".traditional")) or name
