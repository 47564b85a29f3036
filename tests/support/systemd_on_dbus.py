"""A real dbus-daemon with a small org.freedesktop.systemd1 on it, to prove the messages, not the behaviour.

It holds every call against the signatures of systemd's own interface (org.freedesktop.systemd1(5)) and answers
with the types that systemd uses. A method or property that is not listed is an error, as it would be there.
"""

from __future__ import annotations

import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from brainkernel.act.systemd import NOT_SET
from jeepney import HeaderFields, Message, MessageType, new_error, new_method_return
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, prep_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MANAGER = "org.freedesktop.systemd1.Manager"
SIGNATURES = {  # in, out
    "GetUnitByControlGroup": ("s", "o"),
    "LoadUnit": ("s", "o"),
    "SetUnitProperties": ("sba(sv)", ""),
    "StartTransientUnit": ("ssa(sv)a(sa(sv))", "o"),
    "ListUnits": (None, "a(ssssssouso)"),
    "Reload": (None, ""),
    "Get": ("ss", "v"),
}
UNIT_PATH = "/org/freedesktop/systemd1/unit/hog_2eservice"
_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow receive_type="*"/>
<allow send_destination="*"/></policy></busconfig>
"""


@dataclass
class SystemdOnDbus:
    """What was called, what is answered."""

    socket: Path
    calls: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    # (interface, property) -> (type, value), of the one unit there is
    properties: dict[tuple[str, str], tuple[str, Any]] = field(default_factory=dict)
    replies: dict[str, Callable[[], tuple[Any, ...]]] = field(default_factory=dict)
    errors: dict[str, tuple[str, str]] = field(default_factory=dict)  # method -> name, text
    silent: bool = False  # take calls and never answer

    def answer(self, call: Message) -> Message:
        """The reply to one call."""
        member = call.header.fields[HeaderFields.member]
        signature = call.header.fields.get(HeaderFields.signature)
        if member not in SIGNATURES or SIGNATURES[member][0] != signature:
            text = f"{member} with {signature}"
            return new_error(call, "org.freedesktop.DBus.Error.UnknownMethod", "s", (text,))
        self.calls.append((member, tuple(call.body)))
        if member in self.errors:
            name, text = self.errors[member]
            return new_error(call, name, "s", (text,))
        if member == "Get":
            found = self.properties.get(tuple(call.body))
            if found is None:
                return new_error(call, "org.freedesktop.DBus.Error.UnknownProperty", "s", (f"Unknown property {call.body}",))
            return new_method_return(call, "v", (found,))
        body = self.replies.get(member, lambda: (UNIT_PATH,) if SIGNATURES[member][1] == "o" else ())()
        return new_method_return(call, SIGNATURES[member][1] or None, body)

    def called(self, method: str) -> list[tuple[Any, ...]]:
        return [body for name, body in self.calls if name == method]


def properties_of_a_unit(name: str = "hog.service") -> dict[tuple[str, str], tuple[str, Any]]:
    """As systemd 252 gives them for a plain running unit."""
    unit, typed = "org.freedesktop.systemd1.Unit", "org.freedesktop.systemd1.Service"
    return {
        (MANAGER, "Version"): ("s", "252.39-1~deb12u2"),
        (MANAGER, "SystemState"): ("s", "running"),
        (unit, "Id"): ("s", name),
        (unit, "LoadState"): ("s", "loaded"),
        (unit, "ActiveState"): ("s", "active"),
        (unit, "DropInPaths"): ("as", []),
        (unit, "NeedDaemonReload"): ("b", False),
        (typed, "Slice"): ("s", "system.slice"),
        (typed, "ControlGroup"): ("s", f"/system.slice/{name}"),
        (typed, "Delegate"): ("b", False),
        (typed, "CPUWeight"): ("t", NOT_SET),
        (typed, "CPUQuotaPerSecUSec"): ("t", NOT_SET),
        (typed, "IOWeight"): ("t", NOT_SET),
        (typed, "TasksMax"): ("t", 4915),
        (typed, "MemoryMax"): ("t", NOT_SET),
        (typed, "MemoryHigh"): ("t", NOT_SET),
        (typed, "IPAddressDeny"): ("a(iayu)", []),
        (typed, "DevicePolicy"): ("s", "auto"),
        (typed, "AllowedCPUs"): ("ay", b""),
    }


@contextmanager
def systemd_on_dbus(run: Path) -> Iterator[SystemdOnDbus]:
    """Run a bus at `run`/dbus/system_bus_socket with the service on it."""
    socket = run / "dbus/system_bus_socket"
    socket.parent.mkdir(parents=True)
    config = run / "dbus.conf"
    config.write_text(_CONFIG.format(socket=socket))
    command = ["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--print-address"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as bus:
        assert bus.stdout is not None
        assert bus.stdout.readline(), "dbus-daemon did not start"
        service = SystemdOnDbus(socket, properties=properties_of_a_unit())
        connection = DBusConnection(prep_socket(str(socket)))
        thread = threading.Thread(target=_serve, args=(connection, service), daemon=True)
        connection.send_and_get_reply(message_bus.RequestName("org.freedesktop.systemd1"), timeout=10)
        thread.start()
        try:
            yield service
        finally:
            bus.terminate()  # ends the thread's connection as well
            thread.join()
            connection.close()


def _serve(connection: DBusConnection, service: SystemdOnDbus) -> None:
    while True:
        try:
            message = connection.receive()
        except OSError:
            return  # the bus ended
        if message.header.message_type is MessageType.method_call and not service.silent:
            connection.send(service.answer(message))
