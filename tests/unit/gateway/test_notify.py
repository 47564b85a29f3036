"""Delivery of alerts: nothing lost, nothing doubled, nothing hammered, and no secret said."""

from __future__ import annotations

import ssl
import subprocess
import sys
import threading
import time
from datetime import UTC
from typing import TYPE_CHECKING, Any

import pytest
from brainkernel.clock import SimulatedClock
from brainkernel.config import Notify
from brainkernel.gateway.notify.channels import directories_of, read_urls
from brainkernel.gateway.notify.courier import GIVE_UP_NS, Courier
from brainkernel.gateway.notify.outbox import ROWS_MAX, Outbox
from brainkernel.gateway.notify.post import Post
from brainkernel.gateway.notify.quiet import QuietHours
from brainkernel.gateway.notify.sender import AppriseSender
from brainkernel.gateway.prometheus import SharedFigures
from brainkernel.link.messages import AlertDelivered, AlertMessage, Alerts, AlertsTaken
from brainkernel.metrics import ALERT_MESSAGES
from support.loopback import dead, status
from support.webhook import Webhook

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.loopback import Exchange

S = 10**9


def a_message(number: int, *, fingerprint: str = "", **changes: Any) -> AlertMessage:
    plain: dict[str, Any] = {
        "id": f"{number:016d}",
        "channel": "webhook",
        "rule": "slow",
        "state": "firing",
        "severity": "error",
        "text": f"trouble {number}",
        "fingerprint": fingerprint or str(number),
        "time_ns": number,
    }
    return AlertMessage(**(plain | changes))


def silent(exchange: Exchange) -> None:
    """A service that takes the request and thinks."""
    time.sleep(2)


class Sent:
    """A sender that keeps what it sends, and fails when told to."""

    def __init__(self) -> None:
        self.letters: list[tuple[str, str, str]] = []
        self.works = True

    def send(self, title: str, body: str, kind: str) -> bool:
        if self.works:
            self.letters.append((title, body, kind))
        return self.works


class Desk:
    """One courier over an outbox in memory."""

    def __init__(self, outbox: Outbox | None = None, *, per_minute: int = 6, quiet: QuietHours = QuietHours()) -> None:  # noqa: B008 # frozen
        self.clock = SimulatedClock(now_boot_ns=1000 * S)
        self.sender = Sent()
        self.outbox = outbox or Outbox(None, pytest.fail)
        self.figures = SharedFigures()
        self.told: list[tuple[str, bool, str]] = []
        self.said: list[str] = []
        self.courier = Courier(
            "webhook",
            self.sender,
            self.outbox,
            per_minute=per_minute,
            quiet=quiet,
            host="h",
            clock=self.clock,
            figures=self.figures,
            told=lambda *result: self.told.append(result),
            say=self.said.append,
            jitter=lambda: 0.5,
        )

    def put(self, *messages: AlertMessage) -> None:
        self.outbox.put(messages, self.clock.wall_ns())

    def after(self, seconds: float) -> float | None:
        self.clock.advance_to(self.clock.boot_ns() + int(seconds * S))
        return self.courier.round()


@pytest.fixture
def hook() -> Iterator[Webhook]:
    webhook = Webhook()
    with webhook.running():
        yield webhook


def test_flock_is_one_message_worst_first() -> None:
    """Bad news and what is over are two messages, however many there are."""
    desk = Desk()
    desk.put(*(a_message(n, severity="info") for n in range(30)), a_message(99, severity="critical"), a_message(100, state="resolved"))

    desk.after(1)

    bad, over = desk.sender.letters
    assert bad[0] == "[CRITICAL] slow on h and 30 more"
    assert bad[1].splitlines()[0] == "critical slow: trouble 99"
    assert bad[1].splitlines()[-1] == "... and 11 more, 11 occurrences"
    assert over == ("[resolved] slow on h", "error slow: trouble 100", "resolved")
    assert desk.outbox.waiting("webhook") == []


def test_same_trouble_twice_is_said_once_with_its_count() -> None:
    """By fingerprint; a message that the daemon sends again is not even counted."""
    desk = Desk()
    desk.put(a_message(1, fingerprint="f"), a_message(2, fingerprint="f"), a_message(2, fingerprint="f"))

    desk.after(1)

    assert [body for _, body, _ in desk.sender.letters] == ["error slow: trouble 2 (2 times)"]


def test_trouble_that_came_back_is_not_said_to_be_over() -> None:
    """It resolved and fired again while the channel was down: the last word would be the wrong one."""
    desk = Desk()
    desk.put(
        a_message(1, fingerprint="f"), a_message(2, fingerprint="f", state="resolved"), a_message(3, fingerprint="other", state="resolved")
    )
    desk.put(a_message(4, fingerprint="f"))

    desk.after(1)

    assert [body for _, body, _ in desk.sender.letters] == ["error slow: trouble 4 (2 times)", "error slow: trouble 3"]


def test_failure_is_tried_again_later_and_later_and_nothing_is_lost() -> None:
    """Backoff doubles; when it works again all that came meanwhile is in one message."""
    desk = Desk()
    desk.sender.works = False
    desk.put(a_message(1))

    waits = [desk.after(1), *(desk.after(700) for _ in range(3))]
    desk.put(a_message(2))
    desk.sender.works = True
    desk.after(700)

    assert waits == [2, 4, 8, 16]
    assert [body for _, body, _ in desk.sender.letters] == ["error slow: trouble 1\nerror slow: trouble 2"]
    assert len(desk.said) == 2
    assert desk.outbox.waiting("webhook") == []


def test_rate_limit_says_what_it_held_back() -> None:
    """The message after it carries all of it, and why it is late."""
    desk = Desk(per_minute=2)
    for number in range(5):
        desk.put(a_message(number))
        desk.after(1)

    desk.after(60)

    assert len(desk.sender.letters) == 3
    body = desk.sender.letters[-1][1].splitlines()
    assert body[:3] == ["error slow: trouble 2", "error slow: trouble 3", "error slow: trouble 4"]
    assert body[-1] == "(3 of them held back for up to 62 s: at most 2 messages a minute)"
    assert desk.figures.value(ALERT_MESSAGES, "webhook", "held_back") == 3


def test_quiet_hours_let_only_what_is_critical_through_and_say_what_waited() -> None:
    """The night's warnings are one message in the morning, however often the courier looked."""
    desk = Desk()
    night_s = desk.clock.wall_ns() // S
    desk = Desk(quiet=QuietHours(night_s % 86_400, (night_s + 7 * 3600) % 86_400, UTC))
    desk.put(a_message(1, severity="warning"), a_message(2, severity="critical"), a_message(3, severity="error"))

    waits = [desk.after(1), desk.after(3600)]
    in_the_night = [title for title, _, _ in desk.sender.letters]
    desk.after(6 * 3600)

    assert in_the_night == ["[CRITICAL] slow on h"]
    assert waits == [600, 600]
    title, body, _ = desk.sender.letters[1]
    assert title == "[ERROR] slow on h and 1 more"
    assert body.splitlines() == ["error slow: trouble 3", "warning slow: trouble 1", "(2 of them held back for up to 420 min: quiet hours)"]
    assert desk.figures.value(ALERT_MESSAGES, "webhook", "held_back") == 2
    assert desk.outbox.waiting("webhook") == []


def test_news_that_are_three_days_old_are_given_up_and_told() -> None:
    """Not in silence."""
    desk = Desk()
    desk.sender.works = False
    desk.put(a_message(1))

    desk.after(1)
    desk.after(GIVE_UP_NS / S + 1)

    assert desk.told == [("0000000000000001", False, "given up after three days")]
    assert desk.outbox.waiting("webhook") == []


def test_outbox_survives_the_gateway_and_knows_what_it_had(tmp_path: Path) -> None:
    """Kept on disk before it is confirmed; a repetition after a crash is no second message."""
    first = Outbox(tmp_path, pytest.fail)
    first.put([a_message(1)], 1)
    first.close()

    second = Outbox(tmp_path, pytest.fail)
    second.put([a_message(1)], 2)

    assert [(i.text, i.count) for i in second.waiting("webhook")] == [("trouble 1", 1)]
    second.close()


def test_outbox_that_cannot_be_on_disk_is_in_memory_and_says_so(tmp_path: Path) -> None:
    """A read-only disk costs durability, not the alerts."""
    (tmp_path / "file").write_text("")
    said: list[str] = []

    outbox = Outbox(tmp_path / "file", said.append)
    outbox.put([a_message(1)], 1)

    assert len(outbox.waiting("webhook")) == 1
    assert "are lost when the gateway ends" in said[0]
    outbox.close()


def test_ten_thousand_alerts_at_once_are_few_messages_and_all_counted(tmp_path: Path) -> None:
    """The outbox stays bounded, and the counts add up."""
    desk = Desk(Outbox(tmp_path, pytest.fail))
    for start in range(0, 10_000, 64):
        desk.put(*(a_message(n) for n in range(start, min(start + 64, 10_000))))
    rows = desk.outbox.waiting("webhook")

    desk.after(1)

    assert len(rows) <= ROWS_MAX + 1
    assert sum(row.count for row in rows) == 10_000
    assert len(desk.sender.letters) == 1
    assert "... and" in desk.sender.letters[0][1]
    desk.outbox.close()


@pytest.mark.parametrize("fault", [status(500), status(429), status(404), dead, silent], ids=["500", "429", "404", "dead", "slow"])
def test_webhook_that_fails_is_a_failure_and_works_again(hook: Webhook, fault: Any) -> None:
    """Through Apprise and HTTP, for real."""
    sender = AppriseSender("webhook", [hook.url.replace("http", "json", 1)], pytest.fail, timeout_s=0.5)
    hook.faults = [fault]

    results = [sender.send("title", "body", "error"), sender.send("title", "<script>alert(1)</script>", "error")]

    assert results == [False, True]
    assert [r["message"] for r in hook.requests] == ["<script>alert(1)</script>"]


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")  # the operator's word is what is tested
def test_webhook_with_a_certificate_of_nobody_gets_nothing(hook: Webhook, tmp_path: Path) -> None:
    """Somebody in between could read the alert: it is kept, unless the operator says that anybody will do."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject, *files], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    plain = hook.socket
    hook.socket = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
    url = hook.url.replace("http", "jsons", 1)
    strict, lax = (AppriseSender("webhook", [url + more], pytest.fail, timeout_s=5) for more in ("", "&verify=no"))

    sent = [strict.send("strict", "body", "error"), lax.send("lax", "body", "error")]

    assert sent == [False, True]
    assert [request["title"] for request in hook.requests] == ["lax"]


def test_sending_needs_no_file_that_was_not_read_before() -> None:
    """The gateway is nobody by then, and its package may lie under /root."""
    script = (
        "import sys; from brainkernel.gateway.notify.sender import AppriseSender\n"
        "sender = AppriseSender('webhook', ['json://127.0.0.1:1/'], print); before = set(sys.modules)\n"
        "sender.send('title', 'body', 'error'); print(len(sender), sorted(set(sys.modules) - before))"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "1 []\n"


def test_webhook_that_is_down_is_a_failure(hook: Webhook) -> None:
    """No connection."""
    sender = AppriseSender("webhook", ["json://127.0.0.1:1/"], pytest.fail)

    assert sender.send("title", "body", "error") is False


def test_post_delivers_and_confirms_and_answers_tests(hook: Webhook, tmp_path: Path) -> None:
    """From the daemon's message to the webhook; an unconfigured channel says what to do."""
    answers: list[AlertsTaken | AlertDelivered] = []
    arrived = threading.Semaphore(0)

    def answer(message: AlertsTaken | AlertDelivered) -> None:
        answers.append(message)
        arrived.release()

    urls = {"webhook": (hook.url.replace("http", "json", 1),)}
    stop = threading.Event()
    figures = SharedFigures()
    post = Post(urls, tmp_path, Notify(), clock=SimulatedClock(S), figures=figures, answer=answer, say=pytest.fail)
    post.start(stop)
    post.take(Alerts((a_message(1, state="test"), a_message(2, state="test", channel="slack"))))
    assert all(arrived.acquire(timeout=30) for _ in range(3))
    stop.set()

    taken = answers[0]
    results = {a.id: a for a in answers[1:] if isinstance(a, AlertDelivered)}
    assert isinstance(taken, AlertsTaken)
    assert taken.ids == (a_message(1).id, a_message(2).id)
    assert results[a_message(1).id].delivered
    assert "no channel slack is configured" in results[a_message(2).id].text
    assert hook.requests[0]["title"].startswith("[test] slow on ")
    assert figures.value(ALERT_MESSAGES, "webhook", "sent") == 1


def test_urls_come_from_private_files_and_are_never_said(tmp_path: Path) -> None:
    """A file that others may read is refused; credentials of systemd come first."""
    credentials, notify_d, said = tmp_path / "credentials", tmp_path / "notify.d", list[str]()
    credentials.mkdir()
    notify_d.mkdir()
    for file, text, mode in (
        (credentials / "brainkernel-notify-slack", "https://hooks.slack.com/services/T/B/secret\n", 0o400),
        (notify_d / "slack.url", "slack://other\n", 0o600),
        (notify_d / "webhook.url", "# ours\nhttps://example.com/hook?token=secret\n", 0o600),
        (notify_d / "pagerduty.url", "pagerduty://secret\n", 0o644),
    ):
        file.write_text(text)
        file.chmod(mode)

    urls = read_urls(directories_of({"CREDENTIALS_DIRECTORY": str(credentials)}, tmp_path / "brainkernel.toml"), said.append)

    assert urls == {
        "slack": ("https://hooks.slack.com/services/T/B/secret",),
        "webhook": ("jsons://example.com/hook?token=secret",),
    }
    assert len(said) == 1
    assert "chmod 0600" in said[0]
    assert "secret" not in said[0].replace("holds a secret", "")


def test_address_that_apprise_does_not_know_is_said_without_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Which one it is, not what it is: it holds a secret."""
    said: list[str] = []

    sender = AppriseSender("slack", ["nosuchthing://s3cret"], said.append)

    assert len(sender) == 0
    assert said == ["channel slack: address 1 is none that Apprise knows; see its documentation for the form"]
    assert "s3cret" not in "".join(capsys.readouterr())
