"""One small hardwired model with a tokenizer, and a long context, for all tests of the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from hnlpu.run.emulate import LanguageModel, open_language_model


@pytest.fixture(scope="session")
def model(spoken_build: Path) -> LanguageModel:
    return open_language_model(spoken_build)
