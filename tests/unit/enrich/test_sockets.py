"""Connections of processes, with the real kernel."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from brainkernel.clock import SimulatedClock
from brainkernel.enrich import sockets
from brainkernel.enrich.sockets import NONE, Sockets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def all_files_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that is looked at here runs the tests, and may have more files open than anybody's connections are looked for among."""
    monkeypatch.setattr(sockets, "_FDS_MAX", 1 << 20)


@contextmanager
def connected(family: socket.AddressFamily, host: str) -> Iterator[tuple[socket.socket, str]]:
    """One end of a connection on this machine, and the address of the other as it is shown."""
    with socket.create_server((host, 0), family=family) as server, socket.create_connection(server.getsockname()[:2]) as near:
        far, _ = server.accept()
        with far:
            port = server.getsockname()[1]
            yield near, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_sockets_show_a_shell_whose_input_is_a_connection(family: socket.AddressFamily, host: str) -> None:
    """What makes a reverse shell one, whatever its command line says."""
    with connected(family, host) as (near, far), subprocess.Popen(["/bin/cat"], stdin=near.fileno(), stdout=subprocess.DEVNULL) as child:
        found = Sockets(SimulatedClock()).of_process(f"/proc/{child.pid}/fd")
        child.kill()

    assert found.stdio == far
    assert any(text.endswith(f"to {far}") for text in found.shown)


def test_sockets_show_who_listens() -> None:
    """A socket that waits for others, of TCP and of UDP, is none to somebody."""
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        found = Sockets(SimulatedClock()).of_process(f"/proc/{os.getpid()}/fd")

        assert f"tcp listens on 127.0.0.1:{tcp.getsockname()[1]}" in found.shown
        assert f"udp listens on 127.0.0.1:{udp.getsockname()[1]}" in found.shown
    assert found.stdio == ""


def test_sockets_ask_the_kernel_once_a_second_for_the_same_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flock of programs with sockets costs one list, and one without any costs none."""
    asked = []
    real = sockets._dumped

    def counting(*arguments: int) -> Iterator[tuple[int, sockets.Connection]]:
        asked.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(sockets, "_dumped", counting)
    clock = SimulatedClock()
    reader = Sockets(clock)
    with socket.create_server(("127.0.0.1", 0)):
        for _ in range(3):
            reader.of_process(f"/proc/{os.getpid()}/fd")
        assert len(asked) == 4  # both families, both protocols

        clock.now_boot_ns += 1_000_000_000
        reader.of_process(f"/proc/{os.getpid()}/fd")
    assert len(asked) == 8


def test_sockets_find_a_connection_that_is_younger_than_the_last_list() -> None:
    """A reverse shell connects and executes in a millisecond: it does not hide behind a list of the same second."""
    reader = Sockets(SimulatedClock())
    with connected(socket.AF_INET, "127.0.0.1"):
        reader.of_process(f"/proc/{os.getpid()}/fd")
        with (
            connected(socket.AF_INET, "127.0.0.1") as (near, far),
            subprocess.Popen(["/bin/cat"], stdin=near.fileno(), stdout=subprocess.DEVNULL) as child,
        ):
            found = reader.of_process(f"/proc/{child.pid}/fd")
            child.kill()

    assert found.stdio == far


def test_sockets_rest_after_a_list_that_took_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a host with many sockets, news upon news may not keep the loop at listing: a twentieth of the time at most."""
    clock = SimulatedClock()
    asked = []

    def slow(*arguments: int) -> Iterator[tuple[int, sockets.Connection]]:
        asked.append(arguments)
        clock.now_boot_ns += 1_000_000
        yield from ()

    monkeypatch.setattr(sockets, "_dumped", slow)
    reader = Sockets(clock)
    with socket.create_server(("127.0.0.1", 0)):
        reader.of_process(f"/proc/{os.getpid()}/fd")
        with socket.create_server(("127.0.0.1", 0)):
            reader.of_process(f"/proc/{os.getpid()}/fd")
            assert len(asked) == 4
            clock.now_boot_ns += 80_000_000
            reader.of_process(f"/proc/{os.getpid()}/fd")
    assert len(asked) == 8


def test_sockets_do_without_the_kernels_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such process, no file of it that is a socket, or no sock_diag: no connection is known, and nothing is raised."""
    (tmp_path / "0").symlink_to("/dev/null")
    assert Sockets(SimulatedClock()).of_process(str(tmp_path)) == NONE
    assert Sockets(SimulatedClock()).of_process(str(tmp_path / "gone")) == NONE

    def refused(*_arguments: int) -> Iterator[tuple[int, sockets.Connection]]:
        raise PermissionError

    monkeypatch.setattr(sockets, "_dumped", refused)
    (tmp_path / "1").symlink_to("socket:[4711]")
    assert Sockets(SimulatedClock()).of_process(str(tmp_path)) == NONE
