"""The post office of the gateway: couriers over one outbox."""

from __future__ import annotations

import socket
import sqlite3
import threading
from typing import TYPE_CHECKING

from brainkernel.gateway.notify import channels
from brainkernel.gateway.notify.courier import Courier
from brainkernel.gateway.notify.outbox import Outbox
from brainkernel.gateway.notify.quiet import QuietHours
from brainkernel.link.messages import AlertDelivered, Alerts, AlertsTaken
from brainkernel.metrics import ALERT_MESSAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from brainkernel.clock import Clock
    from brainkernel.config import Notify
    from brainkernel.gateway.notify.courier import Sender
    from brainkernel.metrics import Figures

_TEXT_LENGTH_MAX = 512


class Post:
    """Takes alerts from the daemon and has them delivered. Make it while files can still be read."""

    def __init__(
        self,
        urls: Mapping[str, tuple[str, ...]],
        state_dir: Path | None,
        settings: Notify,
        *,
        clock: Clock,
        figures: Figures,
        answer: Callable[[AlertsTaken | AlertDelivered], object],
        say: Callable[[str], None],
    ) -> None:
        """Open the outbox and make a sender for each channel that has addresses."""
        self._outbox = Outbox(state_dir, say)
        self._clock = clock
        self._figures = figures
        self._answer = answer
        self._say = say
        host = socket.gethostname()
        self._couriers = {
            name: Courier(
                name,
                _sender_of(name, urls.get(name, ()), say),
                self._outbox,
                per_minute=settings.messages_per_minute,
                quiet=QuietHours.of(settings.quiet_hours),
                host=host,
                clock=clock,
                figures=figures,
                told=self._told,
                say=say,
            )
            for name in channels.NAMES
        }

    def start(self, stop: threading.Event) -> None:
        """Let the couriers go, each in a thread."""
        for name, courier in self._couriers.items():
            threading.Thread(target=courier.run, args=(stop,), name=f"courier-{name}", daemon=True).start()

    def take(self, message: Alerts) -> None:
        """Keep alerts durably, then confirm them. What cannot be kept is not confirmed: the daemon sends it again."""
        try:
            taken = self._outbox.put(message.alerts, self._clock.wall_ns())
        except sqlite3.Error as error:
            self._figures.add(ALERT_MESSAGES, "all", "not_kept", by=len(message.alerts))
            self._say(f"alerts cannot be kept: {error}; the daemon sends them again")
            return
        self._answer(AlertsTaken(tuple(alert.id for alert in message.alerts)))
        for name in taken.channels:
            self._couriers[name].wake()
        if taken.merged:
            self._figures.add(ALERT_MESSAGES, "all", "merged", by=taken.merged)

    def _told(self, identifier: str, delivered: bool, text: str) -> None:
        self._answer(AlertDelivered(identifier, delivered, text[:_TEXT_LENGTH_MAX]))


def _sender_of(name: str, urls: tuple[str, ...], say: Callable[[str], None]) -> Sender | None:
    if not urls:
        return None
    try:
        from brainkernel.gateway.notify.sender import AppriseSender  # noqa: PLC0415 # 43 MB that a gateway without channels spares
    except ModuleNotFoundError as error:
        say(f"channel {name} is not used: {error.name} is not installed")
        return None
    sender = AppriseSender(name, urls, say)
    return sender if len(sender) else None
