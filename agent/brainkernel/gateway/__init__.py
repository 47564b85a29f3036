"""The unprivileged process: LLM calls, metrics over HTTP. Decides nothing, sees only what was redacted."""
