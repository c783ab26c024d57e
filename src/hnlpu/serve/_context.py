"""What the endpoints share: the model, its names, its template, and how it is documented."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hnlpu.run.chat import ChatTemplate
from hnlpu.run.emulate import LanguageModel
from hnlpu.serve._answers import TokenTexts
from hnlpu.serve._dialect import Dialect
from hnlpu.serve._errors import ApiError
from hnlpu.serve._prompts import Translator
from hnlpu.serve._service import Service
from hnlpu.serve._settings import ServerSettings
from hnlpu.serve._stored import StoredResponses

_ERROR = {"content": {"application/json": {"schema": {"type": "object"}}}}
_DESCRIPTIONS = {
    400: "The request makes no sense",
    401: "No valid API key",
    403: "A host name of elsewhere",
    404: "No such model",
    408: "The request was sent too slowly",
    413: "The request is too long",
    415: "Not sent as JSON",
    422: "The schema or regex cannot be satisfied",
    429: "Too many requests, or the queue is full; see Retry-After",
}


class Context:
    """Everything an endpoint needs; the same for all of a server's life."""

    def __init__(self, service: Service):
        self.service = service
        self.model: LanguageModel = service.model
        self.settings: ServerSettings = service.settings
        self.template = ChatTemplate(self.model.directory)
        self.dialect = Dialect(self.model, self.template)
        self.ends = self.model.end_tokens
        self.texts = TokenTexts(self.model.tokenizer)
        self.translator = Translator(
            self.model, self.settings, service.engine.context, self.dialect
        )
        self.fingerprint = service.fingerprint
        self.renamed: Callable[[], None] = lambda: None  # told when adapters come and go
        self.stored = StoredResponses(self.settings.stored_bytes)
        self.documented: dict[str, Any] = {
            "responses": {
                status: {"description": text} | _ERROR for status, text in _DESCRIPTIONS.items()
            }
        }

    @property
    def names(self) -> list[str]:
        """The ids that requests may name."""
        return [self.service.name, *self.service.engine.adapters.names]

    def adapter(self, model: str | None) -> str | None:
        """The adapter that a model's id names, None for the base or no id; raises ApiError."""
        if not model or model == self.service.name:
            return None
        if model in self.service.engine.adapters.names:
            return model
        raise ApiError(
            404, f"no model {model[:100]!r} here; /v1/models lists what there is",
            code="model_not_found", param="model",
        )  # fmt: skip
