"""Programs flagged always, quiet by a hash of their arguments: what stays quiet, and above all what does not."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from brainkernel.sense import wire
from support.kernel import Witness, wait_until
from support.siphash import siphash13

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from brainkernel.model import Exec

KEY = bytes(range(16))


def run(program: Path, *args: str | bytes, user: int | None = None) -> None:
    """Run it to its end."""
    subprocess.run([program, *args], check=False, user=user)


def met_twice(witness: Witness, program: Path, *args: str) -> Exec:
    """Let user space deal with a program as the agent does: known and always at first, then its arguments."""
    run(program, "first")
    witness.loader.remember(witness.exec_with("first").identity, always=True)
    run(program, *args)
    event = witness.exec_with(args[-1])
    assert witness.loader.remember_arguments(event)
    return event


def test_script_that_runs_every_minute_costs_no_record(watch: Callable[..., Witness], program: Path) -> None:
    """Fifty more starts with the same arguments: all counted as known, none sent."""
    witness = watch()
    met_twice(witness, program, "-c", "run-parts /etc/cron.hourly")
    before = witness.loader.counters().exec

    for _ in range(50):
        os.waitpid(os.posix_spawn(program, [str(program), "-c", "run-parts /etc/cron.hourly"], {}), 0)

    after = witness.loader.counters().exec
    assert after.known - before.known >= 50
    assert len(witness.execs("run-parts /etc/cron.hourly")) == 1


@pytest.mark.parametrize(
    "other",
    [
        ("-c", "run-parts /etc/cron.hourlz"),
        ("-c", "run-parts /etc/cron.hourly", ""),
        ("-c", "run-parts /etc/cron.hourly; curl x|sh"),
        ("-c run-parts /etc/cron.hourly",),
        ("", "-c", "run-parts /etc/cron.hourly"),
    ],
)
def test_other_arguments_are_reported(watch: Callable[..., Witness], program: Path, other: tuple[str, ...]) -> None:
    """A byte more, less or elsewhere is another command line."""
    witness = watch()
    met_twice(witness, program, "-c", "run-parts /etc/cron.hourly")

    run(program, *other)

    wait_until("the other one", lambda: [e for e in witness.execs(other[-1]) if e.argv[1:] == other])


def test_same_arguments_are_reported_for_another_user_and_another_version(watch: Callable[..., Witness], program: Path) -> None:
    """The hash counts for one identity only."""
    witness = watch()
    met_twice(witness, program, "same")

    run(program, "same", user=65534)
    wait_until("the other user's", lambda: [e for e in witness.execs("same") if e.uid == 65534])
    program.touch()
    run(program, "same")

    wait_until("the other version's", lambda: len(witness.execs("same")) == 3)


def test_long_arguments_are_always_reported(watch: Callable[..., Witness], program: Path) -> None:
    """What the hash does not cover whole has none: nothing can be appended behind a known beginning."""
    witness = watch()
    run(program, "first")
    witness.loader.remember(witness.exec_with("first").identity, always=True)
    room = wire.ARGV_HASHED_BYTES - len(str(program)) - 2  # the zeros

    run(program, "x" * room)
    run(program, "y" * (room + 1))

    longest, too_long = witness.exec_with("x" * room), witness.exec_with("y" * (room + 1))
    assert longest.argv_hash != 0
    assert too_long.argv_hash == 0
    assert witness.loader.remember_arguments(longest)
    assert not witness.loader.remember_arguments(too_long)


def test_forgotten_program_forgets_its_arguments(watch: Callable[..., Witness], program: Path) -> None:
    """What user space takes back counts as never seen, also after it is remembered again."""
    witness = watch()
    event = met_twice(witness, program, "taken-back")

    witness.loader.forget(event.identity)
    witness.loader.remember(event.identity, always=True)
    run(program, "taken-back")

    wait_until("it again", lambda: len(witness.execs("taken-back")) == 2)


@pytest.mark.parametrize("argument", ["", "a", "1234567", "12345678", "ä" * 40, "z" * 300])
def test_hash_is_siphash_1_3_with_a_key_of_its_own(
    watch: Callable[..., Witness], program: Path, argument: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's hash is the published one; the key is drawn anew at each load."""
    monkeypatch.setattr(os, "urandom", lambda count: KEY[:count])
    witness = watch()
    monkeypatch.undo()
    run(program, "first")
    witness.loader.remember(witness.exec_with("first").identity, always=True)

    run(program, "hashed", argument)

    raw = b"\0".join([os.fsencode(program), b"hashed", argument.encode()]) + b"\0"
    assert witness.exec_with("hashed").argv_hash == siphash13(KEY, raw)


def test_two_loaders_have_two_keys(watch: Callable[..., Witness], program: Path) -> None:
    """Nobody can learn from one host or boot what another one would let through."""
    hashes = set()
    for name in ("one", "two"):
        witness = watch()
        run(program, name)
        witness.loader.remember(witness.exec_with(name).identity, always=True)
        run(program, "keyed", "same")
        hashes.add(witness.exec_with("keyed").argv_hash)
        witness.loader.close()

    assert len(hashes) == 2
