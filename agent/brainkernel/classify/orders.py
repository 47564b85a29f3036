"""Strings of a process that speak to whoever judges it.

A language model may obey them, and no wording of ours prevents that for certain. So it is not asked about such a program:
what rules and the local model do not know of it stays unknown, which gains nobody anything. A false hit costs one question,
so this looks for speech itself (sentences, words of judgement, other scripts, markup) rather than for known attacks.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import unicodedata
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brainkernel.model import Program

_CHARS_MAX = 65_536
_ORDERS = re.compile(
    r"system[_ -]critical|bloatware"  # words that stand in no command line but ours
    r"|(?:class|category|categor[iy]\w{0,12}|verdict|confidence|klasse|kategorie|clase|classe|класс|категори\w|类别|分類|カテゴリ)[\"'\\]{0,3}\s{0,3}(?:[:=]|is\b|ist\b|est\b|是|は)"
    r"|\b(?:ignore|disregard|forget|override|ignoriere|vergiss|ignora|olvida|ignorez|oubliez)\b.{0,60}(?:instruc|rule|prompt|previous|above|anweisung|regel|consigne|anterior)"
    r"|\b(?:classif\w+|label|mark|treat|report|consider|judge)\b.{0,40}\b(?:as|to be)\b.{0,20}\b(?:service|interactive|development|background|benign|safe|harmless|suspicious|unknown|critical)"
    r"|\b(?:you are|you must|du bist|du musst|eres|tu es)\b.{0,60}(?:classif|assistant|model|service|benign|critical)"
    r"|\b(?:answer|antwort|respuesta|risposta|resposta|réponse|réponds|responda|responde|rispondi|antworte|respond|reply)\b[\"'\s:=>-]{1,4}\w"
    r"|</?[a-z_]{3,16}\s{0,3}>|</s>|<s>|<\|\w{2,20}\|>|\[{1,2}\s{0,2}/?(?:INST|TOOL_CALLS|SYS|system|user|assistant|override|human)\b|<</?SYS>>|\"role\"\s{0,3}:"
    r"|#{2,4}\s{0,3}(?:response|system|instruction|answer|assistant|human|user)|\b(?:system|assistant|user|human|ai)\s{0,2}(?:prompt|message|note)?\s{0,2}:\s|\]\]>|\"\s{0,3}\}\s{0,3}\]\s{0,3}\}"
    r"|\[(?:cache hit|tool result|verified|trusted|admin|policy)\b",
    re.IGNORECASE,
)
_FILLERS = re.compile(r"[\u200b-\u200f\u2060-\u2064\ufeff\u00ad]|[\u202a-\u202e\u2066-\u2069]|[\U000e0000-\U000e007f]")
# Letters of scripts in which no option, and no word of a shell, is written. File names are.
_OTHER_SCRIPTS = re.compile(r"[\u0370-\u1fff\u2e80-\u9fff\ua000-\ud7ff\uf900-\ufdff\ufe70-\ufeff\uff66-\uffdc]")
_FILE_NAME = re.compile(r"[^\s]*/.*|[^/]*\.\w{1,5}")
_WORD = re.compile(r"[^\W\d_]+")
# A verdict, alone in an argument or at the end of a sentence; `--background` and `app.service` are none.
_BEFORE, _AFTER = r"(?:^|[\s\"'`(\[{>:=])", r"[\"'`)\]}<.,;:!?](?!\w)"
_JUDGEMENT = re.compile(
    rf"{_BEFORE}(?:(?:services?|interactive|development|background|dienst|hintergrund|servicio|serviço|servizio)(?=\s*$|\s+\W|{_AFTER})|"
    rf"(?:benign|harmless|legitimate|legit|innocuous|trusted|whitelisted|allowlisted|malicious|suspicious|harmlos|inofensivo|inoffensif|légitime)(?=\s|$|{_AFTER}))",
    re.IGNORECASE,
)
_ANY_CATEGORY = re.compile(r"\b(?:service|interactive|development|background|critical|benign)\b", re.IGNORECASE)
# Words that bind sentences together. Two of them in one argument of three words, and somebody speaks.
_BINDING = frozenset(
    "this that these those is are was be been not the an please answer you your must should would will shall and with from as of it its we my our following everything all "
    "assume pretend treat consider respond reply say output final decision previous next only now stop reviewed confirm "
    "bitte dies diese dieser diesen dieses ist sind ein eine einen als der die das den nicht und "
    "ce cet cette est sont un une le la les comme et pas este esta es son el los como y no questo questa è sono il come e non isto é um uma o os como não".split()
)
_SPEAKING_WORDS = 3
# Three words and more, and hardly anything else, in whatever language; "Answer: word". Not of a shell's or an interpreter's code.
_SENTENCE = re.compile(r"[^\W\d_][\w'\u2019-]{0,30}[,.:!?]?(?: [\w'\u2019-]{1,31}[,.:!?]{0,3}){2,200}")
_LABELLED = re.compile(r"[^\W\d_]{2,30} ?: [^\W\d_]{2,30}[.!]?")
_CODE = frozenset(("-c", "-e", "-lc", "-ec", "-xc", "--eval", "-r", "-m"))
_ESCAPED = re.compile(r"\\u00([0-9a-fA-F]{2})|\\x([0-9a-fA-F]{2})|%([2-7][0-9a-fA-F])")
_COMPACT = re.compile(
    r"ignor(?:e|ing)(?:all|any|every|previous|prior|the|these|my|your|above)|(?:previous|prior|above|all)(?:instruction|rule|prompt)|systemprompt|allinstructions|sayservice|answerservice"
)
_LOOKALIKES = str.maketrans("013457@$", "oieastas")
_HEX = re.compile(r"(?:[2-7][0-9a-fA-F]){8,}")
_ENCODED = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{16,2048}={0,2}")
_ENCODED_MAX = 8
_ARGUMENTS_MAX = 4096
_SENTENCE_CHARS_MAX = 2048


def gives_orders(program: Program) -> bool:
    """Tell whether any of a program's own strings addresses its judge, or hides letters that cannot be seen."""
    texts = (program.exe, program.comm, program.cwd, program.cgroup, program.filename, *program.parents, *program.argv)
    text = "\n".join(texts)
    # Who fills a command line to push something out of the window has both its ends looked at.
    if len(text) > _CHARS_MAX:
        text = text[: _CHARS_MAX // 2] + text[-_CHARS_MAX // 2 :]
    if _FILLERS.search(text):
        return True
    plain = unicodedata.normalize("NFKC", _ESCAPED.sub(lambda m: chr(int(m[1] or m[2] or m[3], 16)), text))
    if _ORDERS.search(plain) or _speaks_in_disguise(plain):
        return True
    arguments = "\n".join(program.argv[1:])[-_CHARS_MAX:]
    if any(_speaks(line) for line in unicodedata.normalize("NFKC", arguments).split("\n")) or any(_speaks(t) for t in texts[:5]):
        return True
    return any(
        _SENTENCE.fullmatch(word) or _LABELLED.fullmatch(word)
        for before, word in pairwise(program.argv[:_ARGUMENTS_MAX])
        if " " in word and len(word) <= _SENTENCE_CHARS_MAX and before not in _CODE
    )


def _speaks(text: str) -> bool:
    if not text:
        return False
    if _OTHER_SCRIPTS.search(text) and not _FILE_NAME.fullmatch(text):
        return True
    if _JUDGEMENT.search(text):
        return True
    words = _WORD.findall(text.lower())
    binding = len(_BINDING.intersection(words))
    return len(words) >= _SPEAKING_WORDS and binding >= (2 if " " in text else 3)


# Letters replaced by digits, or with something between them; base64; rot13.
def _speaks_in_disguise(text: str) -> bool:
    letters = "".join(_WORD.findall(text.lower().translate(_LOOKALIKES)))
    if _COMPACT.search(letters) or _COMPACT.search(codecs.encode(letters, "rot13")):
        return True
    for number, match in enumerate(_ENCODED.finditer(text)):
        if number >= _ENCODED_MAX:
            break
        if (inner := _decoded(match[0])) and (_ORDERS.search(inner) or _ANY_CATEGORY.search(inner) or _speaks(inner)):
            return True
    return False


def _decoded(word: str) -> str:
    bare = word.rstrip("=")
    try:
        if _HEX.fullmatch(bare):
            return bytes.fromhex(bare).decode("ascii")
        text = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return ""
    return text if text.isprintable() else ""
