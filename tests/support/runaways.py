"""Regular expressions against repeated text: anybody may repeat anything in a command line, and the daemon's loop waits."""

from __future__ import annotations

import signal
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CHARS = 400
PATIENCE_S = 1.0  # of CPU: these take microseconds, and one that runs away would take years
REPEATED = (
    *("-a ", "a ", "/a", "a/", "/tmp/a", "--a=b ", "-a b=c=d ", "\\x41", "a.b_", "'a' ", "-x y ", "a=b ", "| a "),
    *("; ", "{a,", "$a ", "\n", "A1+/", "``", "$()", "$(a) ", "${a}"),
)


def runs_away(search: Callable[[str], object], beginnings: Iterable[str], repeated: Iterable[str] = REPEATED) -> bool:
    """Whether a search takes a second for a beginning, something repeated, and an end that fits nothing."""

    def too_long(_number: int, _frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, too_long)
    try:
        for beginning, again in product(beginnings, repeated):
            signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE_S)
            search(beginning + (again * CHARS)[:CHARS] + "\x01")
    except TimeoutError:
        return True
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return False
