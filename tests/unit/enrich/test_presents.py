"""What a person sees or hears of a process, and what only pretends to."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from brainkernel.enrich.presents import Peer, read_presents
from brainkernel.enrich.session import read_seat_users

if TYPE_CHECKING:
    from collections.abc import Iterator

ALICE, MALLORY = 1000, 1001
AT_THE_SEAT = frozenset({ALICE})
MAJORS = {"/dev/dri/card0": (226, 0), "/dev/snd/pcmC0D0p": (116, 2), "/dev/input/event3": (13, 67), "/dev/fb0": (29, 0)}


def a_process(proc: Path, *links: str, uid: int = ALICE) -> None:
    (proc / "7/fd").mkdir(parents=True)
    os.chown(proc / "7", uid, uid)
    for number, link in enumerate(links):
        (proc / "7/fd" / str(number)).symlink_to(link)


def nobody_is_there(_inode: int) -> Peer | None:
    return None


def device_of(file: str) -> int:
    """By the name of what is open, as the host's own files have it."""
    return os.makedev(*MAJORS[str(Path(file).readlink())])


@pytest.mark.parametrize("device", MAJORS)
def test_an_open_device_tells(tmp_path: Path, device: str) -> None:
    """Display, sound and input are held by who works with a person."""
    a_process(tmp_path, "/dev/null", "socket:[5]", device)

    assert read_presents(tmp_path, 7, (), peer_of=nobody_is_there, device_of=device_of) == device


@pytest.mark.parametrize("device", [(1, 3), (226, 128), (0, 0)])
def test_a_file_that_was_mounted_where_a_device_lies_is_none(tmp_path: Path, device: tuple[int, int]) -> None:
    """In a mount namespace of its own a program gives any file any name: /dev/null, a render node, an empty file."""
    a_process(tmp_path, "/dev/dri/card0")

    assert read_presents(tmp_path, 7, AT_THE_SEAT, peer_of=nobody_is_there, device_of=lambda _: os.makedev(*device)) == ""


@pytest.mark.parametrize(
    "link", ["/dev/dri/renderD128", "/dev/null", "/home/alice/dev/dri/card0", "pipe:[5]", "/dev/snd/pcmC0\x1b[2J", "/dev/snd/seq x"]
)
def test_computing_on_a_graphics_card_is_not_showing(tmp_path: Path, link: str) -> None:
    """Miners hold render nodes; nobody sees them. A name with control characters is no driver's."""
    a_process(tmp_path, link)

    assert read_presents(tmp_path, 7, AT_THE_SEAT, peer_of=nobody_is_there) == ""


@pytest.mark.parametrize(
    ("server", "shown"),
    [
        ("/tmp/.X11-unix/X0", True),
        ("@/tmp/.X11-unix/X1", True),
        ("/run/user/1000/wayland-0", True),
        ("/run/user/1000/pipewire-0", True),
        ("/run/user/1000/pulse/native", True),
        ("/run/user/1000/bus", False),
        ("/tmp/mine/.X11-unix/X0", False),
        ("", False),
    ],
)
def test_a_connection_to_a_display_or_sound_server_tells(tmp_path: Path, server: str, *, shown: bool) -> None:
    """By the exact name of the server's socket."""
    a_process(tmp_path, "socket:[11]", "socket:[12]")

    found = read_presents(tmp_path, 7, AT_THE_SEAT, peer_of=lambda inode: Peer(server, ALICE) if inode == 12 else None)

    assert bool(found) is shown


@pytest.mark.parametrize(
    ("client", "server", "shown"),
    [
        (ALICE, ALICE, True),
        (ALICE, 0, True),  # an X server that root runs
        (0, ALICE, True),
        (MALLORY, MALLORY, False),  # a server of her own, whatever its name
        (MALLORY, 0, False),  # the real one, before it asked for a cookie
        (MALLORY, ALICE, False),
        (ALICE, MALLORY, False),
    ],
)
def test_immunity_is_not_had_by_a_socket_that_anybody_can_make(tmp_path: Path, client: int, server: int, *, shown: bool) -> None:
    """Mallory is logged in from afar: neither her own server nor her connection to the real one is what a person looks at."""
    a_process(tmp_path, "socket:[12]", uid=client)

    found = read_presents(tmp_path, 7, AT_THE_SEAT, peer_of=lambda _: Peer("/tmp/.X11-unix/X0", server))

    assert bool(found) is shown


@contextmanager
def a_client_of(name: str) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(name)
        server.listen()
        client.connect(name)
        accepted, _ = server.accept()
        with accepted:
            yield


def test_the_kernel_says_to_whom_a_socket_is_connected() -> None:
    """On this very kernel: a server at a path like X's, in the abstract namespace, and a client of it."""
    name = f"\0/tmp/.X11-unix/X{os.getpid()}"
    assert read_presents(Path("/proc"), os.getpid(), ()) == ""
    with a_client_of(name):
        assert read_presents(Path("/proc"), os.getpid(), ()) == f"@{name[1:]}"


def test_the_kernel_says_who_accepted_a_connection() -> None:
    """On this very kernel: what an unprivileged user serves is nobody's display, unless that user sits at a seat."""
    told, tell = os.pipe()
    ready, done = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover # another process
        os.close(ready)
        os.setresuid(MALLORY, MALLORY, MALLORY)
        with a_client_of(f"\0/tmp/.X11-unix/X{os.getpid()}"):
            os.write(done, b"x")
            os.close(tell)
            os.read(told, 1)
        os._exit(0)
    os.close(done)
    try:
        assert os.read(ready, 1) == b"x"
        assert read_presents(Path("/proc"), child, ()) == ""
        assert read_presents(Path("/proc"), child, {MALLORY}) == f"@/tmp/.X11-unix/X{child}"
    finally:
        for fd in (told, tell, ready):
            os.close(fd)
        os.waitpid(child, 0)


def test_a_process_that_ended_presents_nothing(tmp_path: Path) -> None:
    """Nothing is raised."""
    assert read_presents(tmp_path, 7, AT_THE_SEAT) == ""


def test_the_users_at_seats_are_those_of_the_sessions_in_front(tmp_path: Path) -> None:
    """As logind puts them down; a seat at which nobody is has none, and neither has a host without logind."""
    seats = tmp_path / "systemd/seats"
    assert read_seat_users(tmp_path) == frozenset()
    seats.mkdir(parents=True)
    (seats / "seat0").write_text("# This is private data. Do not parse.\nIS_SEAT0=1\nACTIVE=c2\nACTIVE_UID=1000\nUIDS=1000 1001\n")
    (seats / "seat1").write_text("IS_SEAT0=0\nSESSIONS=\nUIDS=\n")

    assert read_seat_users(tmp_path) == frozenset({1000})
