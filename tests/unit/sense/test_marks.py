from __future__ import annotations

import pytest
from brainkernel.model import Mark
from brainkernel.sense.marks import argv0_mismatch, marks_of, path_marks_of
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("exe", "marks"),
    [
        ("/usr/bin/ls", set()),
        ("/tmp/x", {Mark.WORLD_WRITABLE_DIR}),
        ("/dev/shm/x", {Mark.WORLD_WRITABLE_DIR}),
        ("/tmpfiles/x", set()),
        ("/home/u/.cache/x", {Mark.HIDDEN_DIR}),
        ("/var/tmp/.x/y", {Mark.HIDDEN_DIR, Mark.WORLD_WRITABLE_DIR}),
        ("/usr/bin/.x", set()),  # a hidden file is not a hidden folder
        ("../bin/x", set()),
        ("./x", set()),
        ("/opt/.../x", set()),
        ("", set()),
    ],
)
def test_path_marks_name_odd_folders(exe: str, marks: set[Mark]) -> None:
    """Where a program lies says something before it has done anything."""
    assert path_marks_of(exe) == marks


@pytest.mark.parametrize(
    ("argv0", "exe", "filename", "mismatch"),
    [
        ("ls", "/usr/bin/ls", "/bin/ls", False),
        ("/bin/ls", "/usr/bin/ls", "/bin/ls", False),
        ("-bash", "/usr/bin/bash", "/bin/bash", False),
        ("sh", "/usr/bin/dash", "/bin/sh", False),
        ("python3", "/usr/bin/python3.11", "/usr/bin/python3", False),
        ("kworker/0:1", "/usr/bin/xmrig", "/usr/bin/xmrig", True),
        ("[kthreadd]", "/usr/bin/nc", "/usr/bin/nc", True),
        ("", "/usr/bin/nc", "/usr/bin/nc", True),
    ],
)
def test_argv0_mismatch_is_a_name_that_is_neither(argv0: str, exe: str, filename: str, mismatch: bool) -> None:
    """A program that calls itself something else is marked, a symlink or a login shell is not."""
    assert argv0_mismatch(argv0, exe, filename) is mismatch


@given(exe=st.text(max_size=50), filename=st.text(max_size=50), argv=st.lists(st.text(max_size=20)).map(tuple))
def test_marks_of_takes_any_text(exe: str, filename: str, argv: tuple[str, ...]) -> None:
    """Hostile names are judged, not choked on; and only what was said is marked."""
    marks = marks_of(exe=exe, filename=filename, argv=argv, unlinked=False, memfd=False, script=False, cut=False, setuid=False)

    assert marks <= {Mark.WORLD_WRITABLE_DIR, Mark.HIDDEN_DIR, Mark.ARGV0_MISMATCH}


def test_marks_of_a_memfd_do_not_also_say_deleted() -> None:
    """A file in memory never had a name on the disk."""
    marks = marks_of(exe="/memfd:x", filename="", argv=("x",), unlinked=True, memfd=True, script=True, cut=True, setuid=True)

    assert marks == {Mark.MEMFD, Mark.ARGV_TRUNCATED, Mark.SETUID}
