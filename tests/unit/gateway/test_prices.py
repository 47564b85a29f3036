"""What a call costs."""

from __future__ import annotations

import pytest
from brainkernel.config import Llm
from brainkernel.gateway.llm.prices import Price, Prices


def test_prices_know_the_default_model() -> None:
    """The model that is asked unless somebody says otherwise has a price, so that its cost is metered."""
    price = Prices(Llm()).of("groq", Llm().groq_model)

    assert price is not None
    assert price.of(1_000_000, 0) > 0


@pytest.mark.parametrize("backend", ["ollama", "llamacpp", "none"])
def test_prices_of_the_own_machine_are_nothing(backend: str) -> None:
    """A model that runs here costs no money."""
    assert Prices(Llm()).of(backend, "any") == Price(0, 0)


def test_prices_of_an_unknown_model_are_not_made_up() -> None:
    """No price is better than a wrong one."""
    assert Prices(Llm()).of("groq", "acme/new-70b") is None


def test_prices_are_those_of_the_account_where_it_is_told() -> None:
    """The configuration comes before the list, for models that are in it and others."""
    prices = Prices(Llm(groq_dollars_per_million_in=2.0, groq_dollars_per_million_out=4.0))

    assert prices.of("groq", "acme/new-70b") == prices.of("groq", Llm().groq_model) == Price(2.0, 4.0)
    assert Price(2.0, 4.0).of(500_000, 250_000) == 2.0
