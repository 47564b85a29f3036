"""Earlier verdicts that a language model is shown beside a program like them.

Only verdicts that are relied upon anyway are kept (of rules, and of models that passed their exam), and of each only the
names of files where nobody but root puts files: nothing that a process chose of itself gets into the question about another.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from brainkernel.classify.paths import is_system, name_of, normalised
from brainkernel.model import Category, Tier

if TYPE_CHECKING:
    from brainkernel.model import Suspect, Verdict

SHOWN_MAX = 3
_KEPT_MAX = 128
_TRAITS_SHARED_MIN = 2
_FIRST_HUMAN_UID = 1000  # of Debian's login.defs
_NAME_CHARS = 40


class _Precedent(NamedTuple):
    traits: frozenset[str]
    text: str


class Precedents:
    """The last verdicts on different programs. Bounded; not kept over a restart, since rules give them anew."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Precedent] = OrderedDict()

    def note(self, suspect: Suspect, verdict: Verdict) -> None:
        """Keep a verdict, if it is one to follow."""
        relied_upon = verdict.tier is Tier.RULES or (verdict.tier is Tier.LLM and verdict.may_act)
        if not relied_upon or verdict.category is Category.UNKNOWN or verdict.pending:
            return
        text = _text_of(suspect, verdict.category)
        if text:
            self._kept[text] = _Precedent(_traits_of(suspect), text)
            self._kept.move_to_end(text)
            if len(self._kept) > _KEPT_MAX:
                self._kept.popitem(last=False)

    def nearest(self, suspect: Suspect) -> tuple[str, ...]:
        """Up to three of those that share most with a program, such as "updatedb.plocate by systemd: background"."""
        traits = _traits_of(suspect)
        ranked = [(len(p.traits & traits), p.text) for p in reversed(self._kept.values())]  # of equals, the newest
        ranked.sort(key=lambda pair: -pair[0])
        return tuple(text for shared, text in ranked[:SHOWN_MAX] if shared >= _TRAITS_SHARED_MIN)


def _text_of(suspect: Suspect, category: Category) -> str:
    program, evidence = suspect.program, suspect.evidence
    # Whoever has a namespace of mounts to himself puts files into a /usr of his own: no package of this host knows those.
    if evidence.unowned or evidence.container:
        return ""
    exe, parent = normalised(program.exe), normalised(program.parents[0]) if program.parents else ""
    if not is_system(exe) or (parent and not is_system(parent)):
        return ""
    starter = f" by {name_of(parent)[:_NAME_CHARS]}" if parent else ""
    return f"{name_of(exe)[:_NAME_CHARS]}{starter}: {category.value}"


def _traits_of(suspect: Suspect) -> frozenset[str]:
    program, evidence = suspect.program, suspect.evidence
    unit = evidence.unit.name if evidence.unit else ""
    traits = {
        "name": name_of(program.exe),
        "directory": normalised(program.exe).rpartition("/")[0],
        "parent": name_of(program.parents[0]) if program.parents else "",
        "unit": unit.partition("@")[0],
        "section": evidence.package.section if evidence.package else "",
        "user": "" if program.uid >= _FIRST_HUMAN_UID else "root" if program.uid == 0 else "system",
    }
    return frozenset(f"{kind} {value}" for kind, value in traits.items() if value)
