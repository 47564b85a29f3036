"""Asking the running daemon."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from brainkernel.errors import BrainKernelError, ConfigError, DaemonNotRunningError, PermissionDeniedError, ProtocolError, UsageError
from brainkernel.link.control import CHANGING, SOCKET_NAME
from brainkernel.link.frames import call
from brainkernel.link.messages import ControlRequest, ControlResponse

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")

_TIMEOUT_S = 15.0  # release_all waits for systemd, whose own calls time out
_ERRORS: dict[int, type[BrainKernelError]] = {
    error.exit_code: error for error in (BrainKernelError, UsageError, PermissionDeniedError, DaemonNotRunningError)
}


def ask(runtime_dir: Path, command: str, schema: type[T], arguments: msgspec.Struct | None = None) -> T:
    """Send one command to the daemon and wait for its result.

    Raises DaemonNotRunningError, PermissionDeniedError, and what the daemon answered as the error of its exit code.
    """
    request = ControlRequest(command, {} if arguments is None else msgspec.to_builtins(arguments))
    path = runtime_dir / SOCKET_NAME
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_TIMEOUT_S)
        _connect(sock, path, command)
        response = _call(sock, path, request)
    if response.exit_code:
        raise _ERRORS.get(response.exit_code, BrainKernelError)(response.error or "the daemon gave no reason")
    return _result_of(response.result, schema)


def _connect(sock: socket.socket, path: Path, command: str) -> None:
    try:
        sock.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        msg = f"no daemon answers on {path}: start it with `systemctl start brainkernel` or `brainkernel run`"
        raise DaemonNotRunningError(msg) from None
    except PermissionError:
        who = "root" if command in CHANGING else "root or a member of the group brainkernel"
        msg = f"not permitted to use {path}: {command.replace('_', ' ')} is for {who}"
        raise PermissionDeniedError(msg) from None
    except OSError as error:  # a path longer than sun_path, a socket of another kind
        msg = f"{path}: {error.strerror or error}"
        raise ConfigError(msg) from None


def _call(sock: socket.socket, path: Path, request: ControlRequest) -> ControlResponse:
    try:
        return call(sock, request, ControlResponse)
    except TimeoutError:
        msg = f"the daemon on {path} did not answer within {_TIMEOUT_S:.0f} s: see `systemctl status brainkernel`"
        raise BrainKernelError(msg) from None
    except (BrokenPipeError, ConnectionResetError):
        msg = f"the daemon on {path} closed the connection"
        raise ProtocolError(msg) from None


def _result_of(result: Any, schema: type[T]) -> T:
    try:
        return msgspec.convert(result, schema)
    except msgspec.ValidationError as error:
        msg = f"the daemon's answer is not understood ({error}): daemon and command may be of different versions"
        raise ProtocolError(msg) from None
