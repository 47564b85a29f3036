"""Alerts from the daemon's socket through the real gateway, without rights, to a webhook on the loopback."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from brainkernel.link.messages import AlertDelivered, AlertMessage, Alerts, AlertsTaken
from support.gateway_process import DaemonEnd, daemon_end, gateway
from support.loopback import status
from support.webhook import Webhook

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def hook() -> Iterator[Webhook]:
    webhook = Webhook()
    with webhook.running():
        yield webhook


@pytest.fixture
def places(tmp_path: Path, hook: Webhook) -> Path:
    """Where nobody may go: the gateway reads and opens what it needs before it gives up its rights."""
    closed = tmp_path / "closed"
    (closed / "notify.d").mkdir(parents=True)
    closed.chmod(0o700)
    file = closed / "notify.d" / "webhook.url"
    file.write_text(hook.url + "\n")
    file.chmod(0o600)
    return closed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    for directory in (tmp_path, *list(tmp_path.parents)[:3]):
        directory.chmod(directory.stat().st_mode | 0o011)
    return tmp_path / "gateway.sock"


def a_message(number: int, **changes: Any) -> AlertMessage:
    plain: dict[str, Any] = {
        "id": f"{number:016d}", "channel": "webhook", "rule": "slow", "state": "firing", "severity": "error", "text": f"trouble {number}",
        "fingerprint": str(number), "time_ns": number,
    }  # fmt: skip
    return AlertMessage(**(plain | changes))


def taken(daemon: DaemonEnd, count: int) -> set[str]:
    """Serve the socket until so many messages were confirmed."""
    found: set[str] = set()

    def reached() -> bool:
        for news in daemon.asker.delivery_news():
            found.update(news.ids if isinstance(news, AlertsTaken) else ())
        return len(found) >= count

    daemon.until(reached)
    return found


def test_alert_of_a_webhook_that_was_down_survives_a_killed_gateway(path: Path, places: Path, hook: Webhook) -> None:
    """Confirmed means kept: a new gateway delivers what the killed one could not, once."""
    hook.fault = status(503)
    with daemon_end(path) as daemon:
        with gateway(path, places=places) as first:
            daemon.until(lambda: daemon.asker.hello)
            daemon.asker.tell(Alerts((a_message(1), a_message(2))))
            assert taken(daemon, 2) == {a_message(1).id, a_message(2).id}
            first.kill()
            first.wait()
        hook.fault = None
        hook.requests.clear()
        with gateway(path, places=places):
            daemon.until(lambda: hook.requests)

    (request,) = hook.requests
    assert request["message"] == "error slow: trouble 1\nerror slow: trouble 2"
    assert request["type"] == "failure"


def test_ten_thousand_alerts_in_a_moment_are_few_messages(path: Path, places: Path, hook: Webhook) -> None:
    """Each is confirmed, the webhook is asked a few times, and the daemon's socket stays usable."""
    messages = [a_message(n, fingerprint=str(n % 3_000)) for n in range(10_000)]
    with daemon_end(path) as daemon, gateway(path, {"notify": {"messages_per_minute": 2}}, places=places):
        daemon.until(lambda: daemon.asker.hello)
        for start in range(0, 10_000, 64):
            daemon.until(partial(daemon.asker.tell, Alerts(tuple(messages[start : start + 64]))))
            daemon.asker.on_readable()
        confirmed = taken(daemon, 10_000)
        daemon.until(lambda: hook.requests)

    assert confirmed == {m.id for m in messages}
    assert 1 <= len(hook.requests) <= 2


def test_test_message_is_answered_with_its_result(path: Path, places: Path, hook: Webhook) -> None:
    """A person who asks learns whether it arrived."""
    results: list[AlertDelivered] = []

    def answered(count: int) -> bool:
        results.extend(news for news in daemon.asker.delivery_news() if isinstance(news, AlertDelivered))
        return len(results) == count

    with daemon_end(path) as daemon, gateway(path, places=places):
        daemon.until(lambda: daemon.asker.hello)
        hook.faults = [status(500)]
        for number in (1, 2):
            daemon.asker.tell(Alerts((a_message(number, state="test"),)))
            daemon.until(partial(answered, number))

    assert [r.delivered for r in results] == [False, True]
    assert len(hook.requests) == 1
