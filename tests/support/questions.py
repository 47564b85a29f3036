"""Questions and answers for tests of the language model's side."""

from __future__ import annotations

import json
from typing import Any

from brainkernel.link.messages import Question


def a_question(exe: str = "/usr/bin/updatedb", *args: str, **fields: Any) -> Question:
    """A question about a program with a plain command line, unless `fields` say otherwise."""
    plain: dict[str, Any] = {
        "argv": (exe, *args),
        "comm": exe.rsplit("/", 1)[-1][:15],
        "parents": ("/usr/sbin/cron", "/usr/lib/systemd/systemd"),
        "uid": 0,
        "cwd": "/",
        "cgroup": "/system.slice/cron.service",
    }
    return Question(exe=exe, **(plain | fields))


def an_entry(number: int = 1, **fields: Any) -> dict[str, Any]:
    """One entry of a good answer."""
    return {"n": number, "reason": "indexes files", "category": "background", "confidence": 0.9} | fields


def an_answer(*entries: Any) -> str:
    """The text of an answer with these entries; one good entry without any."""
    return json.dumps({"verdicts": list(entries) or [an_entry()]})


def answer_for(request: dict[str, Any]) -> str:
    """What a good model says to a request of either API: a good entry per program asked about."""
    lines = request["messages"][-1]["content"].splitlines()
    return an_answer(*(an_entry(number) for number in range(1, len(lines) + 1)))
