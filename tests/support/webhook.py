"""A webhook on the loopback that keeps what it is told, and can misbehave."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from support.loopback import Loopback

if TYPE_CHECKING:
    from support.loopback import Exchange


class Webhook(Loopback):
    """Takes Apprise's JSON posts. `fault` and `faults` as in `Loopback`."""

    def answer(self, exchange: Exchange, body: bytes) -> None:
        said = json.loads(body)
        if self.misbehaves(exchange):
            return
        self.requests.append(said)
        exchange.reply(200, b"{}")

    @property
    def url(self) -> str:
        return f"http://{self.host}/hook?secret=s3cret"
