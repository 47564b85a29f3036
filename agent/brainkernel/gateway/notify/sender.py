"""Apprise, imported here alone: it speaks Slack, PagerDuty, mail, ntfy, webhooks and a hundred more."""

from __future__ import annotations

import logging
import netrc  # noqa: F401 # requests imports it at its first request, when files may be out of reach
import re
import warnings
from typing import TYPE_CHECKING

import apprise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TYPES = {
    "info": apprise.NotifyType.INFO,
    "warning": apprise.NotifyType.WARNING,
    "error": apprise.NotifyType.FAILURE,
    "critical": apprise.NotifyType.FAILURE,
    "resolved": apprise.NotifyType.SUCCESS,
}
TIMEOUT_S = 4.0  # to connect, and for each read
# What Slack, Discord, Telegram or Matrix would notify people by, or show as a link: a program may be called `@everyone`,
# `<!channel>`, `<@&42>` (Apprise looks for `@&42>` on its own) or `<https://evil|your bank>`. "getty@tty1.service" is none of it.
_MENTION = re.compile(r"@(?=everyone|here|channel|all|room|[&!]?\d+>)|(?<![\w.+-])@(?=[\w&!])|<(?=[@!#:]|[\w.+-]+:)", re.IGNORECASE)
_ZERO_WIDTH_SPACE = "\u200b"


class AppriseSender:
    """One channel's addresses. Make it before privileges are dropped: Apprise reads its plugins from files."""

    def __init__(self, name: str, urls: Sequence[str], say: Callable[[str], None], *, timeout_s: float = TIMEOUT_S) -> None:
        """An address that Apprise does not know is said, without the address."""
        # Its own log lines quote addresses at some levels, and what went wrong is said by the courier.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        logging.getLogger("urllib3").setLevel(logging.CRITICAL + 1)
        asset = apprise.AppriseAsset(app_id="BrainKernel", app_desc="BrainKernel agent", app_url="", async_mode=False, secure_logging=True)
        self._apprise = apprise.Apprise(asset=asset)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its plugins are imported at the first address, and use what Python 3.13 drops
            unknown = [n for n, url in enumerate(urls, start=1) if not self._apprise.add(_with_timeouts(url, timeout_s))]
        for number in unknown:
            say(f"channel {name}: address {number} is none that Apprise knows; see its documentation for the form")
        for server in self._apprise:
            # The courier has its own rate limit, and says what it held back; Apprise would sleep in silence.
            server.request_rate_per_sec = 0

    def __len__(self) -> int:
        return len(self._apprise)

    def send(self, title: str, body: str, kind: str) -> bool:
        """Send one message to every address of the channel, within some seconds, notifying nobody by name; False if one of them failed."""
        plain = apprise.NotifyFormat.TEXT
        return bool(self._apprise.notify(body=defused(body), title=defused(title), notify_type=_TYPES[kind], body_format=plain))


def defused(text: str) -> str:
    """The same to the eye, without any mention: a space of no width stands behind each `@` or `<` that would begin one."""
    return _MENTION.sub(lambda found: found[0] + _ZERO_WIDTH_SPACE, text)


def _with_timeouts(url: str, timeout_s: float) -> str:
    return f"{url}{'&' if '?' in url else '?'}cto={timeout_s:g}&rto={timeout_s:g}"
