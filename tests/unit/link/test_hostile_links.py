"""The gateway socket from both of its ends, each against another side that forges, replays, floods and breaks off."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from brainkernel.link import asker as asker_module
from brainkernel.link.frames import frame_of
from brainkernel.link.messages import AlertsTaken, Ask, FiguresNow, Hello
from brainkernel.metrics import PROTOCOL_ERRORS
from hypothesis import given, settings
from hypothesis import strategies as st
from support.hostile import BEDS, CONVERSATIONS, HUGE, QUESTION, AskerBed, GatewayBed, asker_bed, gateway_bed

if TYPE_CHECKING:
    from collections.abc import Iterator

ASK = frame_of(Ask("0123456789abcdef", (QUESTION,), 3000))


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[AskerBed]:
    with asker_bed(tmp_path) as made:
        yield made


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayBed]:
    with gateway_bed(tmp_path) as made:
        yield made


def test_gateway_takes_a_question_once(gateway: GatewayBed) -> None:
    """A replayed one would be paid for twice: it is dropped and counted."""
    gateway.suffer(ASK * 3)

    assert (len(gateway.asked), gateway.errors("duplicate_id")) == (1, 2)


def test_gateway_drops_figures_that_it_did_not_ask_for(gateway: GatewayBed) -> None:
    """Nobody can put figures before a scrape that has not come."""
    gateway.suffer(frame_of(FiguresNow({"brainkernel_x": {}})) * 2)

    assert gateway.errors("unasked") == 2


@pytest.mark.parametrize("sent", [HUGE, b"\x00\x00\x00\x02[]", frame_of(Hello("x", "y", "z")), frame_of({"type": "ask"})])
def test_gateway_breaks_off_at_what_no_daemon_sends(gateway: GatewayBed, sent: bytes) -> None:
    """The first message that is too large or not of the schema ends the connection; what follows it is not read."""
    gateway.suffer(sent + ASK)

    assert (gateway.asked, gateway.errors("malformed")) == ([], 1)


def test_daemon_is_told_of_models_no_oftener_than_they_change(daemon: AskerBed) -> None:
    """Each greeting is a line in the journal: a flood of them is dropped and counted."""
    flood = 50
    daemon.suffer(b"".join(frame_of(Hello("ollama", f"model-{n}", "")) for n in range(flood)))

    assert daemon.figures.value(PROTOCOL_ERRORS, "gateway", "too_often") == flood - asker_module.HELLOS_MAX


def test_daemon_counts_news_of_deliveries_that_have_no_room(daemon: AskerBed) -> None:
    """Until somebody asks for them, a bounded number is kept."""
    flood = asker_module.NEWS_MAX + 7
    daemon.suffer(frame_of(AlertsTaken(("forged",))) * flood)

    assert daemon.figures.value(PROTOCOL_ERRORS, "gateway", "too_many") == 7
    assert len(daemon.asker.delivery_news()) == asker_module.NEWS_MAX


@pytest.mark.parametrize("end", ["asker", "gateway"])
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_either_end_takes_anything(end: str, data: st.DataObject) -> None:
    """No exception, no verdict that was not asked for, no question twice."""
    with tempfile.TemporaryDirectory() as directory, BEDS[end](Path(directory)) as bed:
        bed.suffer(data.draw(CONVERSATIONS[end]))
