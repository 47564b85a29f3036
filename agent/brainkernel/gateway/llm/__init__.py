"""The language models behind one Protocol, and what is common to them: prompt, budget, breaker."""
