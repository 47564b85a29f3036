"""What a call costs, in dollars: the shipped price list, or what the configuration says of this account."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brainkernel.config import Llm

SHIPPED_FILE = Path(__file__).parent / "prices.toml"
_CLOUD = "groq"
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens."""

    tokens_in: float
    tokens_out: float

    def of(self, tokens_in: int, tokens_out: int) -> float:
        """Dollars for one call."""
        return (tokens_in * self.tokens_in + tokens_out * self.tokens_out) / _MILLION


_OWN_MACHINE = Price(0.0, 0.0)


class Prices:
    """The prices that hold on this host."""

    def __init__(self, settings: Llm, file: Path = SHIPPED_FILE) -> None:
        """Read the list now: the gateway may not be able to later."""
        with file.open("rb") as stream:
            listed = tomllib.load(stream)
        self._listed = {(backend, model): Price(*pair) for backend, models in listed.items() for model, pair in models.items()}
        told = Price(settings.groq_dollars_per_million_in, settings.groq_dollars_per_million_out)
        self._told = told if told.tokens_in or told.tokens_out else None

    def of(self, backend: str, model: str) -> Price | None:
        """A model's price; None if nobody knows it. What runs on our own machine costs nothing."""
        if backend != _CLOUD:
            return _OWN_MACHINE
        return self._told or self._listed.get((backend, model))
