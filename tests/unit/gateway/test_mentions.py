"""Names that a chat would notify people by, in what is sent."""

from __future__ import annotations

import pytest
from apprise.plugins.discord import USER_ROLE_DETECTION_RE
from brainkernel.gateway.notify.sender import AppriseSender, defused
from support.webhook import Webhook


@pytest.mark.parametrize(
    "name",
    [
        "@everyone",
        "x@here",
        "<!channel>",
        "<!subteam^S1|ops>",
        "<@U123>",
        "<@&1234>",
        "x@&1234>",
        "@admin",
        "<https://evil|the bank>",
        "@@all",
    ],
)
def test_name_of_a_program_notifies_nobody(name: str) -> None:
    """What a chat would take for a mention or a link arrives, to be read, and is none any more: in the title and in the text."""
    hook = Webhook()
    with hook.running():
        sender = AppriseSender("webhook", [hook.url.replace("http", "json", 1)], pytest.fail)

        assert sender.send(f"critical {name}", f"/tmp/{name} is suspicious", "critical")

    (request,) = hook.requests
    for text in (request["title"], request["message"]):
        assert name not in text
        assert name in text.replace("\u200b", "")
        assert not USER_ROLE_DETECTION_RE.search(text)  # by which Apprise notifies people on Discord itself


@pytest.mark.parametrize("text", ["getty@tty1.service", "coredump@3-12.service", "a < b", "x <- y", "me@example.org", "@", "<"])
def test_what_notifies_nobody_arrives_as_it_is(text: str) -> None:
    """It can be copied into a command."""
    assert defused(text) == text
