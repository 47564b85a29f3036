"""What a candidate is compared on: the newest quarter of the words, from which it learned nothing."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from brainkernel.learn.caution import RIGHT, WRONG, Caution
from brainkernel.learning.session import Cautious, session
from brainkernel.store import KeptWord

if TYPE_CHECKING:
    from collections.abc import Generator

    from brainkernel.learn.shadow import Comparison
    from brainkernel.learning.session import Learned

RENDERER, INDEXER = 7, 8  # traits


def words(count: int, label: int, trait: int, *, after: int = 0) -> list[KeptWord]:
    return [
        KeptWord(id=n, source=f"uid {n % 3}", occasion=n, subject=n, label=label, weight=1.0, protected=False, traits=[trait] * 20)
        for n in range(after + 1, after + count + 1)
    ]


def compared(said: list[KeptWord]) -> Comparison:
    found: list[Learned | None] = []

    def through() -> Generator[None, None, None]:
        found.append((yield from session(Cautious(Caution()), said)))

    deque(through(), maxlen=0)
    assert found[0] is not None
    return found[0].comparison


def test_what_was_true_until_lately_is_worse_on_the_newest_words() -> None:
    """The world has turned: what 90 words taught is wrong for the 30 after them."""
    found = compared([*words(90, WRONG, RENDERER), *words(30, RIGHT, RENDERER, after=90)])

    assert (found.words, found.won, found.lost, found.is_better) == (30, 0, 30, False)


def test_what_only_the_newest_words_say_is_not_learned_yet() -> None:
    """Had the candidate learned from them, it would be better on each."""
    found = compared([*words(90, RIGHT, INDEXER), *words(30, WRONG, RENDERER, after=90)])

    assert (found.words, found.won, found.lost) == (30, 0, 0)


def test_what_holds_for_the_newest_words_is_better() -> None:
    """What was said of 90 holds for the 30 after them."""
    found = compared(words(120, WRONG, RENDERER))

    assert (found.words, found.won, found.lost, found.is_better) == (30, 30, 0, True)
