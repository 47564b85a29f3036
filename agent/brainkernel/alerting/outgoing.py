"""Messages for the gateway until it has them on its disk: bounded, in order, and what did not fit is said."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable


RESEND_NS = 30_000_000_000  # the gateway could not keep it, its disk is full perhaps


class Identified(Protocol):
    """A message that can be acknowledged."""

    @property
    def id(self) -> str:
        """Unique for this daemon's life."""
        ...


M = TypeVar("M", bound=Identified)


class Outgoing(Generic[M]):
    """Holds at most `limit` messages; those beyond are counted, and `take_held_back` tells how many."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: OrderedDict[str, M] = OrderedDict()
        self._sent_ns: dict[str, int] = {}
        self._held_back = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, message: M) -> bool:
        """Take a message; False if there is no room."""
        if len(self._waiting) >= self._limit:
            self._held_back += 1
            return False
        self._waiting[message.id] = message
        return True

    def take_held_back(self) -> int:
        """How many had no room since the last call; 0 as long as there is none."""
        if len(self._waiting) >= self._limit:
            return 0
        held_back, self._held_back = self._held_back, 0
        return held_back

    def unsent(self, most: int, now_ns: int) -> list[M]:
        """The oldest messages that are not under way, or have been for `RESEND_NS` without a word."""
        return [m for m in self._waiting.values() if now_ns - self._sent_ns.get(m.id, -RESEND_NS) >= RESEND_NS][:most]

    def sent(self, messages: Iterable[M], now_ns: int) -> None:
        """Note that these are under way."""
        self._sent_ns |= {m.id: now_ns for m in messages}

    def acknowledged(self, identifiers: Iterable[str]) -> int:
        """The gateway has these on its disk; returns how many it has no business with: forged, or said twice."""
        unknown = 0
        for identifier in identifiers:
            unknown += self._waiting.pop(identifier, None) is None
            self._sent_ns.pop(identifier, None)
        return unknown

    def lost_connection(self) -> None:
        """What was under way may not have arrived: it goes again, and the gateway knows its id."""
        self._sent_ns.clear()
