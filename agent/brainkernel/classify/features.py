"""One program as the local model sees it: numbers of hashed traits, in no order.

Traits are character n-grams of the judged program's name and of its arguments, the directories it lies in, its
ancestors, the unit or place it lives in, and what evidence there is. The same code makes them in training.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from zlib import crc32

from brainkernel.classify import paths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from brainkernel.classify.facts import Facts

BUCKETS = 1 << 16
TRAITS_MAX = 250  # a lane of the weight table holds 16 bits, so up to 257 weights of 8 bits can be summed in it
_NAME_CHARS = 32
_ARGUMENTS = 10
_ARGUMENT_CHARS = 28
_FIRST_HUMAN_UID = 1000  # of Debian's login.defs
_PARENTS = 4
_DIRECTORIES = 5
_NUMBER = re.compile(r"\d+")
_HOME = re.compile(r"^/home/[^/]+")
_INSTANCE = re.compile(r"@[^.]*")


def traits_of(facts: Facts) -> list[int]:
    """The buckets of a program's traits, each once, at most `TRAITS_MAX`. Reads no file beyond the shipped knowledge."""
    buckets: dict[int, None] = {}
    for trait in _traits(facts):
        buckets[crc32(trait.encode("utf-8", "surrogateescape")) % BUCKETS] = None
        if len(buckets) >= TRAITS_MAX:
            break
    return list(buckets)


# What is told by the host comes before what the process chose itself, so that padding cannot push it out.
def _traits(facts: Facts) -> Iterator[str]:
    program, evidence = facts.program, facts.evidence
    place = facts.place.value
    user = "root" if program.uid == 0 else "system" if program.uid < _FIRST_HUMAN_UID else "human"
    main = "main" if facts.main_of_unit else "inside"
    yield from ("one", f"user {user}", f"place {place}", f"place {place} {main}", f"place {place} {user}")
    yield from sorted(f"mark {mark.value}" for mark in facts.marks)  # a set has another order in each process
    yield from (f"parent {n} {name}" for n, name in enumerate(facts.parent_names[:_PARENTS]))
    yield f"starter {facts.starter}"
    if evidence.package is not None:
        yield f"section {evidence.package.section.rpartition('/')[2]}"
    if evidence.unowned:
        yield "unowned"
    if unit := facts.unit:
        shape = _NUMBER.sub("0", _INSTANCE.sub("@", unit))
        yield f"unit {shape}"
        yield from _grams("u", shape.rpartition(".")[0], 4)
    directory, _, _ = facts.target.rpartition("/")
    directory = _HOME.sub("/home", directory)
    yield f"directory {directory}"
    yield from (f"in {part}" for part in directory.split("/")[1 : _DIRECTORIES + 1])
    yield f"suffix {facts.target_name.rpartition('.')[2] if '.' in facts.target_name else ''} told {facts.target_is_told}"
    name = facts.target_name
    yield f"name {name}"
    yield from _grams("n", name[:_NAME_CHARS], 3)
    yield from _grams("n", name[:_NAME_CHARS], 4)
    if facts.script:
        yield f"interpreter {facts.name}"
    yield f"cwd {_HOME.sub('/home', program.cwd)[:_ARGUMENT_CHARS]}"
    yield from _traits_of_arguments(facts, name)


def _traits_of_arguments(facts: Facts, name: str) -> Iterator[str]:
    arguments = facts.argv[1:]
    yield f"arguments {min(len(arguments), 4)}"
    for argument in arguments[:_ARGUMENTS]:
        word = argument[:_ARGUMENT_CHARS]
        if word.startswith("-"):
            option, equals, _ = word.partition("=")
            yield f"option {option}"
            yield f"option of {name} {option}{equals}"
        elif "/" in word and paths.name_of(argument) != name:
            yield f"path {'/'.join(_HOME.sub('/home', word).split('/')[:3])}"
        yield from _grams("a", _NUMBER.sub("0", word), 4)


def _grams(kind: str, text: str, size: int) -> Iterator[str]:
    text = f"^{text}$"
    for start in range(max(1, len(text) - size + 1)):
        yield f"{kind} {text[start : start + size]}"
