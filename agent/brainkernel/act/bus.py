"""One D-Bus connection with deadlines and bounds: jeepney's messages over our own blocking socket.

jeepney's own connection class has no bound on what it buffers, and the far end of a user's bus may be hostile.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import platform
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jeepney import DBusAddress, HeaderFields, Message, MessageFlag, MessageType, Parser, new_method_call
from jeepney.auth import AuthenticationError
from jeepney.io.blocking import prep_socket

from brainkernel.errors import ActError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

MAX_MESSAGE_BYTES = 1 << 20  # ListUnits of a host with 2000 units is some 500 KB
AUTH_TIMEOUT_S = 1.0
SYSTEMD = "org.freedesktop.systemd1"

# What a person can do about an error, by the end of its D-Bus name.
_REMEDIES = {
    "AccessDenied": "run as root, or let polkit allow org.freedesktop.systemd1.manage-units",
    "InteractiveAuthorizationRequired": "run as root",
    "ServiceUnknown": "systemd is not on this bus: is the host (or the user's session) run by systemd?",
    "NoReply": "systemd is too busy to answer; it will be tried again",
    "UnitMasked": "the unit is masked: unmask it",
    "PropertyReadOnly": "this systemd is too old for the property",
    "TransactionIsDestructive": "the host is shutting down or the slice is being stopped",
}


class BusError(ActError):
    """An error reply, or a failure to get any. `name` is the D-Bus error name."""

    def __init__(self, name: str, text: str) -> None:
        """The message ends with what to do, where we know it."""
        self.name = name
        self.text = text
        remedy = _REMEDIES.get(name.rpartition(".")[2], "")
        super().__init__(f"{name}: {text}" + (f" ({remedy})" if remedy else ""))


class Bus:
    """A bus at a socket path, connected when first needed. Not for use by several threads."""

    def __init__(self, path: Path, timeout_s: float, as_uid: int | None = None) -> None:
        """Each call may take `timeout_s`. With `as_uid` it connects as that user: a session bus takes nobody else."""
        self._path = path
        self._timeout_s = timeout_s
        self._as_uid = as_uid
        self._socket: socket.socket | None = None
        self._parser = Parser()
        self._serials = itertools.count(1)

    def call(self, path: str, interface: str, method: str, signature: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Call a method of systemd and wait. Raises BusError, after which the next call connects anew."""
        message = new_method_call(DBusAddress(path, SYSTEMD, interface), method, signature or None, arguments)
        # systemd asks polkit only with this flag; without it a missing right is an error at once.
        message.header.flags &= ~MessageFlag.allow_interactive_authorization
        return self._exchange(message, time.monotonic() + self._timeout_s)

    def close(self) -> None:
        """Drop the connection."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._parser = Parser()

    def _exchange(self, message: Message, deadline: float) -> tuple[Any, ...]:
        try:
            if self._socket is None:
                self._connect(deadline)
            reply = self._reply_to(message, deadline)
        except TimeoutError:
            self.close()
            name, text = "org.freedesktop.DBus.Error.NoReply", f"no answer at {self._path} within {self._timeout_s:g} s"
            raise BusError(name, text) from None
        except (OSError, AuthenticationError) as error:
            self.close()
            name, text = "org.freedesktop.DBus.Error.Disconnected", f"{self._path}: {error}"
            raise BusError(name, text) from None
        except ActError:
            self.close()
            raise
        except Exception as error:
            # jeepney raises whatever its parser stumbles over; the stream cannot be trusted after it.
            self.close()
            name, text = "org.freedesktop.DBus.Error.InconsistentMessage", f"{self._path}: {type(error).__name__}"
            raise BusError(name, text) from error
        return _body_of(reply)

    def _connect(self, deadline: float) -> None:
        with as_user(self._as_uid):
            self._socket = prep_socket(str(self._path), timeout=min(AUTH_TIMEOUT_S, self._timeout_s))
        hello = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
        _body_of(self._reply_to(new_method_call(hello, "Hello"), deadline))

    def _reply_to(self, message: Message, deadline: float) -> Message:
        sock = self._socket
        assert sock is not None  # noqa: S101 # both callers connect first
        serial = next(self._serials)
        sock.settimeout(_rest(deadline))
        sock.sendall(message.serialise(serial=serial))
        while True:
            received = self._parser.get_next_message()
            if received is None:
                self._receive(sock, deadline)
            elif received.header.fields.get(HeaderFields.reply_serial) == serial:
                return received

    def _receive(self, sock: socket.socket, deadline: float) -> None:
        wanted = self._parser.bytes_desired()
        if wanted > MAX_MESSAGE_BYTES:
            name, text = "org.freedesktop.DBus.Error.LimitsExceeded", f"a message of {wanted} bytes came from {self._path}"
            raise BusError(name, text)
        sock.settimeout(_rest(deadline))
        data = sock.recv(min(wanted, 1 << 16))
        if not data:
            msg = "the bus closed the connection"
            raise ConnectionResetError(msg)
        self._parser.add_data(data)


def _rest(deadline: float) -> float:
    rest = deadline - time.monotonic()
    if rest <= 0:
        raise TimeoutError
    return rest


def _body_of(reply: Message) -> tuple[Any, ...]:
    body = tuple(reply.body)
    if reply.header.message_type is MessageType.error:
        name = str(reply.header.fields.get(HeaderFields.error_name, "?"))
        raise BusError(name, str(body[0]) if body else "")
    return body


# The C library's wrappers change the user of all threads; only the bare system call changes the caller's alone.
_SETRESUID = {"x86_64": 117, "aarch64": 147, "riscv64": 147, "ppc64le": 164, "s390x": 208, "armv7l": 208}
_UNCHANGED = -1


@contextmanager
def as_user(uid: int | None) -> Iterator[None]:
    """Let this thread alone act as `uid` while the block runs; None, or our own uid: nothing to do.

    A socket's peer sees the effective uid of connect(2), and a path in a user's own directory is only safe to
    follow with that user's rights. The saved uid stays root's, so that the way back is open.
    """
    if uid is None or uid == os.geteuid():
        yield
        return
    before = os.geteuid()
    _set_thread_euid(uid)
    try:
        yield
    finally:
        _set_thread_euid(before)


def _set_thread_euid(uid: int) -> None:
    number = _SETRESUID.get(platform.machine())
    if number is None:
        msg = f"acting as another user is not known on {platform.machine()}: limits of user units are not set here"
        raise ActError(msg)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, _UNCHANGED, uid, _UNCHANGED) != 0:
        msg = f"cannot act as uid {uid}: {os.strerror(ctypes.get_errno())} (CAP_SETUID is needed for limits of user units)"
        raise ActError(msg)
