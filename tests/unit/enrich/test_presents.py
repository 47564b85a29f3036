"""What a person sees or hears of a process."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from brainkernel.enrich.presents import read_presents


def a_process(proc: Path, *links: str) -> None:
    (proc / "7/fd").mkdir(parents=True)
    for number, link in enumerate(links):
        (proc / "7/fd" / str(number)).symlink_to(link)


@pytest.mark.parametrize("device", ["/dev/dri/card0", "/dev/snd/pcmC0D0p", "/dev/input/event3", "/dev/fb0"])
def test_an_open_device_tells(tmp_path: Path, device: str) -> None:
    """Display, sound and input are held by who works with a person."""
    a_process(tmp_path, "/dev/null", "socket:[5]", device)

    assert read_presents(tmp_path, 7, lambda _: "") == device


def test_a_file_that_only_looks_like_a_device_is_none(tmp_path: Path) -> None:
    """In a mount namespace of its own a program gives files any name; one with control characters is no driver's."""
    a_process(tmp_path, "/dev/snd/pcmC0\x1b[2J", "/dev/snd/seq x")

    assert read_presents(tmp_path, 7, lambda _: "") == ""


@pytest.mark.parametrize("link", ["/dev/dri/renderD128", "/dev/null", "/home/alice/dev/dri/card0", "pipe:[5]"])
def test_computing_on_a_graphics_card_is_not_showing(tmp_path: Path, link: str) -> None:
    """Miners hold render nodes; nobody sees them."""
    a_process(tmp_path, link)

    assert read_presents(tmp_path, 7, lambda _: "") == ""


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
    """By the exact path of the server's socket."""
    a_process(tmp_path, "socket:[11]", "socket:[12]")

    assert bool(read_presents(tmp_path, 7, lambda inode: server if inode == 12 else "")) is shown


def test_the_kernel_says_to_whom_a_socket_is_connected(tmp_path: Path) -> None:
    """On this very kernel: a server at a path like X's, in the abstract namespace, and a client of it."""
    name = f"\0/tmp/.X11-unix/X{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(name)
        server.listen()
        assert read_presents(Path("/proc"), os.getpid()) == ""
        client.connect(name)
        accepted, _ = server.accept()
        with accepted:
            assert read_presents(Path("/proc"), os.getpid()) == f"@{name[1:]}"


def test_a_process_that_ended_presents_nothing(tmp_path: Path) -> None:
    """Nothing is raised."""
    assert read_presents(tmp_path, 7) == ""
