"""Suspect to Verdict: rules, cache, local model, LLM; and what may be told to an LLM."""
