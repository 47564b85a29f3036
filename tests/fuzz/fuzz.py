"""Coverage-guided fuzzing of one end of our sockets, by atheris: python fuzz.py END [libFuzzer's options].

END is `control`, `asker` or `gateway`; support/hostile.py says what each promises, and has hypothesis' strategy for what
may be written to it: atheris chooses among its choices. Runs until a promise is broken or libFuzzer's `-runs` or
`-max_total_time` ends; what broke it lies in the folder it was started in, and `fuzz.py END FILE` runs it again.
"""

from __future__ import annotations

import logging
import random
import sys
import tempfile
from pathlib import Path

import atheris
from hypothesis import HealthCheck, given, settings

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "agent")]
with atheris.instrument_imports(include=["brainkernel"]):
    from support.hostile import BEDS, CONVERSATIONS
SEEDS, SEED_BYTES = 32, 1024  # shorter ones end in the middle of hypothesis' choices, and try nothing


def main() -> None:
    """Fuzz one end; libFuzzer ends the process."""
    name, *options = sys.argv[1:]
    logging.disable()
    with tempfile.TemporaryDirectory() as corpus, tempfile.TemporaryDirectory() as directory, BEDS[name](Path(directory)) as bed:
        for number in range(SEEDS):
            Path(corpus, str(number)).write_bytes(random.Random(number).randbytes(SEED_BYTES))  # noqa: S311 # the same each time

        @settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(CONVERSATIONS[name])
        def suffer(sent: bytes) -> None:
            bed.suffer(sent)

        atheris.Setup([sys.argv[0], corpus, "-max_len=4096", "-len_control=0", *options], suffer.hypothesis.fuzz_one_input)  # type: ignore[attr-defined] # added by @given
        atheris.Fuzz()


main()
