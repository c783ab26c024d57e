"""What went wrong, in the words and the shape that OpenAI's clients know."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from hnlpu.errors import (
    ContextExceeded,
    EngineFault,
    HnlpuError,
    InvalidInput,
    NotFinite,
    NotServing,
    QueueFull,
)

RETRY_SECONDS = 2


class ApiError(Exception):
    """An answer other than success: a status and OpenAI's error object."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: int | None = None,
    ):
        # a message may quote what the client sent, which need not be valid Unicode
        text = " ".join(message.split()).encode("utf-8", "replace").decode("utf-8")
        super().__init__(text)
        self.status = status
        self.code = code
        self.param = param
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object of the answer."""
        return error_body(self.status, str(self), self.code, self.param)


def error_body(
    status: int, message: str, code: str | None = None, param: str | None = None
) -> dict[str, Any]:
    """OpenAI's error object."""
    kinds = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


MESSAGES = "/v1/messages"
_MESSAGES_KINDS = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error",
    404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error",
    503: "overloaded_error", 504: "timeout_error",
}  # fmt: skip


def messages_error(status: int, message: str) -> dict[str, Any]:
    """Anthropic's error object."""
    kind = _MESSAGES_KINDS.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}}


def body_at(path: str, status: int, body: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's error object as the clients of a path know it."""
    if path != MESSAGES and not path.startswith(f"{MESSAGES}/"):
        return body
    return messages_error(status, body["error"]["message"])


_PROMPTS = {
    "/v1/completions": "prompt", "/v1/chat/completions": "messages", "/v1/responses": "input",
    "/v1/embeddings": "input",
}  # fmt: skip


def as_api_error(error: HnlpuError, path: str = "") -> ApiError:
    """The answer for an error of the model or engine, at a path whose prompt has a name."""
    text = str(error)
    if isinstance(error, QueueFull):
        return ApiError(429, text, code="queue_full", retry_after=RETRY_SECONDS)
    if isinstance(error, NotServing):
        return ApiError(503, text, code="shutting_down", retry_after=RETRY_SECONDS)
    if isinstance(error, NotFinite | EngineFault):
        return ApiError(500, text, code="engine_error")
    code = "context_length_exceeded" if isinstance(error, ContextExceeded) else None
    about_prompt = text.startswith("the prompt")
    param = _PROMPTS.get(path) if about_prompt else _named(text)
    return ApiError(400, text, code=code, param=param)


def _named(text: str) -> str | None:
    """The field that a message names first."""
    found = re.match(r"([a-z_0-9]+(?:\.\w+)*)(?: \S+)?: ", text)
    return None if found is None else found[1]


@contextlib.contextmanager
def of_field(name: str) -> Iterator[None]:
    """Errors of what a field holds name it."""
    try:
        yield
    except InvalidInput as error:
        if type(error) is not InvalidInput:
            raise
        raise InvalidInput(f"{name}: {error}") from None


@contextlib.contextmanager
def in_words(words: Mapping[str, str]) -> Iterator[None]:
    """Errors that name a chat's field first name it as `words` has it, for a door of other names."""

    def told(text: str) -> str:
        first = re.match(r"[a-z_]+(?=[:. ])", text)
        if first is None or first[0] not in words:
            return text
        return words[first[0]] + text[first.end() :]

    try:
        yield
    except ApiError as error:
        param = None if error.param is None else words.get(error.param, error.param)
        raise ApiError(error.status, told(str(error)), code=error.code, param=param) from None
    except ContextExceeded as error:
        raise ContextExceeded(told(str(error))) from None
    except InvalidInput as error:
        raise InvalidInput(told(str(error))) from None
