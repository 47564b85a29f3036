"""Paths and names of programs."""

from __future__ import annotations

import pytest
from brainkernel.classify.paths import elsewhere, is_system, name_of, normalised, without_versions


@pytest.mark.parametrize(
    ("path", "spelled"),
    [
        ("/bin/sh", "/usr/bin/sh"),
        ("/lib/systemd/systemd", "/usr/lib/systemd/systemd"),
        ("/usr/bin/bash (deleted)", "/usr/bin/bash"),
        ("/usr//bin/../bin/./x", "/usr/bin/x"),
        ("/tmp/../usr/bin/sshd", "/usr/bin/sshd"),
        ("//bin/sh", "/usr/bin/sh"),
        ("/usr/lib64/firefox/firefox", "/usr/lib/firefox/firefox"),
        ("/lib64/ld-linux-x86-64.so.2", "/usr/lib64/ld-linux-x86-64.so.2"),
        ("/usr/lib64/libexec/kf6/baloo_file", "/usr/libexec/kf6/baloo_file"),
    ],
)
def test_path_is_spelled_one_way(path: str, spelled: str) -> None:
    """Links into /usr, double slashes and marks of the kernel do not make another program."""
    assert normalised(path) == spelled


@pytest.mark.parametrize(
    ("path", "places"),
    [
        ("/usr/bin/sshd", ("/usr/sbin/sshd",)),
        ("/usr/lib/gvfsd", ("/usr/libexec/gvfsd", "/usr/lib/x86_64-linux-gnu/libexec/gvfsd")),
        ("/usr/lib/libc.so.6", ()),
        ("/usr/lib/systemd/systemd", ()),
        ("/tmp/sshd", ()),
        ("/home/alice/usr/bin/sshd", ()),
    ],
)
def test_programs_of_other_distributions_are_looked_for_where_debian_has_them(path: str, places: tuple[str, ...]) -> None:
    """Only directories that are root's have a place elsewhere: a file of the same name in a home is another program."""
    assert elsewhere(path) == places


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/usr/bin/python3.11", "python"),
        ("/usr/bin/x86_64-linux-gnu-gcc-12", "gcc"),
        ("/usr/bin/nc.openbsd", "nc"),
        ("/usr/bin/mawk", "awk"),
        ("-bash", "bash"),
        ("/home/bob/LinEnum.sh", "LinEnum"),
        ("/usr/bin/x265", "x265"),
        ("/usr/bin/i3", "i3"),
        ("/usr/bin/base64", "base64"),
        ("", ""),
    ],
)
def test_name_has_no_version_and_no_flavour(path: str, name: str) -> None:
    """One program has one name on every distribution, and a digit that belongs to the name stays."""
    assert name_of(path) == name


def test_versions_are_folded_in_paths() -> None:
    """What is known of one version holds for the next."""
    assert without_versions("/usr/lib/postgresql/15/bin/postgres") == without_versions("/usr/lib/postgresql/17/bin/postgres")
    assert without_versions("/usr/bin/php8.2") == without_versions("/usr/bin/php8.4")
    assert without_versions("/usr/bin/x264") == "/usr/bin/x264"


@pytest.mark.parametrize("path", ["/tmp/sshd", "/home/bob/bin/x", "/usr/lib/.libs/sshd", "/dev/shm/x", "sshd"])
def test_path_that_anybody_may_write_is_no_system_path(path: str) -> None:
    """Only root's directories say what a program is."""
    assert not is_system(path)
