"""The exam: whether a model, or the rules and the local model, may be believed. A shipped set of programs, and marks."""
