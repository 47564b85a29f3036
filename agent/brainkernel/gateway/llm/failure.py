"""Why an LLM gave nothing usable: the causes of `link.messages.Answers`, and the exception that carries one."""

from __future__ import annotations

import enum


class Cause(enum.StrEnum):
    """The words that `Answers.failure` and the metric of failures use."""

    TIMEOUT = "timeout"
    CONNECTION = "connection"
    HTTP_STATUS = "http_status"
    NOT_JSON = "not_json"
    WRONG_SCHEMA = "wrong_schema"
    TOO_LARGE = "too_large"
    BUDGET = "budget"
    BREAKER_OPEN = "breaker_open"
    RATE_LIMITED = "rate_limited"
    NO_BACKEND = "no_backend"
    COUNT_MISMATCH = "count_mismatch"


class LlmError(Exception):
    """One call of one backend failed. Never leaves the gateway: it becomes the `failure` of an answer.

    `retry_after_s` is what the server asked for, if it did. The text may hold words of the server: hostile.
    """

    def __init__(self, cause: Cause, text: str = "", *, retry_after_s: float | None = None, permanent: bool = False) -> None:
        """Set `permanent` where the same request can only fail the same way (a 4xx, a wrong key)."""
        super().__init__(text or cause.value)
        self.cause = cause
        self.retry_after_s = retry_after_s
        self.permanent = permanent
