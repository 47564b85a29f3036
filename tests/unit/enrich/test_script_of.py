"""What an interpreter runs."""

from __future__ import annotations

import shlex

import pytest
from brainkernel.enrich.marks import marks_of_path
from brainkernel.enrich.script import script_of
from brainkernel.model import Mark
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("exe", "line", "script"),
    [
        ("/usr/bin/python3.11", "python3 -u -W ignore /srv/a.py --x", "/srv/a.py"),
        ("/usr/bin/python3.11", "python3 -m http.server 80", "-m http.server"),
        ("/usr/bin/python3.11", "python3 -c 'print(1)' x", ""),
        ("/usr/bin/python3.11", "python3", ""),
        ("/usr/bin/python3.11", "python3 -", ""),
        ("/usr/bin/python3.11", "python3 -- a.py", "a.py"),
        ("/usr/bin/dash", "sh -e ./x.sh", "./x.sh"),
        ("/usr/bin/bash", "bash -xec 'ls' y", ""),
        ("/usr/bin/bash", "bash -o pipefail /x.sh", "/x.sh"),
        ("/usr/bin/bash", "-bash", ""),
        ("/usr/bin/perl", "perl -I lib -w /usr/bin/exiftool a.jpg", "/usr/bin/exiftool"),
        ("/usr/bin/perl", "perl -lane 'print' f", ""),
        ("/usr/bin/ruby3.1", "ruby -r json x.rb", "x.rb"),
        ("/usr/bin/node", "node --max-old-space-size=4096 -r ts app.js", "app.js"),
        ("/usr/bin/node", "node -e 1", ""),
        ("/usr/lib/jvm/j/bin/java", "java -Xmx1g -Dx=y -cp a:b -jar app.jar z", "app.jar"),
        ("/usr/lib/jvm/j/bin/java", "java -cp a:b com.corp.Main", "com.corp.Main"),
        ("/usr/bin/php8.2", "php -d x=1 a.php", "a.php"),
        ("/usr/bin/mawk", "awk -f prog.awk data", "prog.awk"),
        ("/usr/bin/mawk", "awk '{print}' data", ""),
        ("/usr/bin/deno", "deno run a.ts", "a.ts"),
        ("/usr/bin/curl", "curl x", ""),
    ],
)
def test_script_of_finds_the_script_behind_an_interpreter(exe: str, line: str, script: str) -> None:
    """Options and their values are passed over, inline code is no script."""
    assert script_of(exe, tuple(shlex.split(line))) == script


def test_script_of_believes_the_kernel_over_argv() -> None:
    """With a "#!" line execve was given the script itself; argv can say anything."""
    assert script_of("/usr/bin/python3.11", ("python3", "/usr/bin/harmless"), "/tmp/x") == "/tmp/x"


def test_script_of_takes_an_interpreters_link_for_no_script() -> None:
    """/usr/bin/python3 is a link to the interpreter, not a script."""
    assert script_of("/usr/bin/python3.11", ("python3", "a.py"), "/usr/bin/python3") == "a.py"


@given(st.lists(st.text(max_size=20), max_size=10), st.sampled_from(["/usr/bin/python3", "/bin/sh", "/usr/bin/awk", "/usr/bin/java"]))
def test_script_of_takes_any_command_line(argv: list[str], exe: str) -> None:
    """No command line raises, the empty one included."""
    script_of(exe, tuple(argv))


@pytest.mark.parametrize(
    ("exe", "marks"),
    [
        ("/usr/bin/curl", set()),
        ("/tmp/x", {Mark.WORLD_WRITABLE_DIR}),
        ("/dev/shm/.cache/x", {Mark.WORLD_WRITABLE_DIR, Mark.HIDDEN_DIR}),
        ("/usr/bin/.x", set()),
        ("/memfd:x (deleted)", {Mark.MEMFD}),
        ("/usr/bin/x (deleted)", {Mark.DELETED}),
        ("", set()),
    ],
)
def test_marks_of_path_shows_what_is_odd_about_a_place(exe: str, marks: set[Mark]) -> None:
    """The path alone gives these away."""
    assert marks_of_path(exe) == marks
