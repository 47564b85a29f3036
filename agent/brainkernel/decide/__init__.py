"""Verdict to Decision: policy, symptom, safety. Pure."""
