"""Strings of a process that speak to whoever judges it.

A language model may obey them, and no wording of ours prevents that for certain. So it is not asked about such a program:
what rules and the local model do not know of it stays unknown, which gains nobody anything. A false hit costs one question.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brainkernel.model import Program

_CHARS_MAX = 65_536
_ORDERS = re.compile(
    r"system_critical|bloatware"  # words that stand in no command line but ours
    r"|(?:class|category|categor[iy]\w{0,12}|verdict|confidence|klasse|kategorie|clase|classe|класс|категори\w|类别|分類|カテゴリ)[\"'\\]{0,3}\s{0,3}(?:[:=]|is\b|ist\b|est\b|是|は)"
    r"|\b(?:ignore|disregard|forget|override|ignoriere|vergiss|ignora|olvida|ignorez|oubliez)\b.{0,60}(?:instruc|rule|prompt|previous|above|anweisung|regel|consigne|anterior)"
    r"|\b(?:classif\w+|label|mark|treat|report|consider|judge)\b.{0,40}\b(?:as|to be)\b.{0,20}\b(?:service|interactive|development|background|benign|safe|harmless|suspicious|unknown|critical)"
    r"|\b(?:you are|you must|du bist|du musst|eres|tu es)\b.{0,60}(?:classif|assistant|model|service|benign|critical)"
    r"|</?(?:process|untrusted|data|system|user|assistant|verdict|instruction|tool|im_)\w*\s{0,3}>|<\|\w{2,20}\|>|\[/?(?:INST|TOOL_CALLS|SYS)\]|<</?SYS>>"
    r"|#{2,4}\s{0,3}(?:response|system|instruction|answer|assistant)|\b(?:system|assistant|user)\s{0,2}(?:prompt|message|note)?\s{0,2}:\s|\]\]>|\"\s{0,3}\}\s{0,3}\]\s{0,3}\}"
    r"|\[(?:cache hit|tool result|verified|trusted|admin|policy)\b|忽略|無視|指令|指示|무시|игнорир\w*|инструкц\w*|تجاهل",
    re.IGNORECASE,
)
_FILLERS = re.compile(r"[\u200b-\u200f\u2060-\u2064\ufeff\u00ad]|[\u202a-\u202e\u2066-\u2069]|[\U000e0000-\U000e007f]")


def gives_orders(program: Program) -> bool:
    """Tell whether any of a program's own strings addresses its judge, or hides letters that cannot be seen."""
    texts = (program.exe, program.comm, program.cwd, program.cgroup, program.filename, *program.parents, *program.argv)
    text = "\n".join(texts)
    # Who fills a command line to push something out of the window has both its ends looked at.
    text = text if len(text) <= _CHARS_MAX else text[: _CHARS_MAX // 2] + text[-_CHARS_MAX // 2 :]
    return bool(_FILLERS.search(text) or _ORDERS.search(text))
