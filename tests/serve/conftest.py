"""Servers on real sockets, each a process of its own as users run it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

import hnlpu
from hnlpu.run.emulate import LanguageModel, open_language_model

ROOT = Path(__file__).parents[2]


@dataclass
class Server:
    """A running `hnlpu serve`: where it is and how to ask it."""

    address: str
    process: subprocess.Popen[str]
    directory: Path

    @property
    def port(self) -> int:
        return int(self.address.rsplit(":", 1)[1])

    def post(self, path: str, body: Any, **options: Any) -> requests.Response:
        return requests.post(self.address + path, json=body, timeout=60, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.address + path, timeout=60, **options)

    def complete(self, prompt: Any, **more: Any) -> dict[str, Any]:
        """The answer to a completion at temperature 0, which must succeed."""
        body = {"model": "build", "prompt": prompt, "temperature": 0} | more
        response = self.post("/v1/completions", body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer


Start = Callable[..., contextlib.AbstractContextManager[Server]]


@contextlib.contextmanager
def running(directory: Path, *options: str, stderr: Any = subprocess.PIPE) -> Iterator[Server]:
    """A server until the context is left; it must not have failed by itself."""
    command = [sys.executable, "-m", "hnlpu", "serve", str(directory), "--port", "0", "--json"]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=stderr, text=True
    )
    try:
        assert process.stdout is not None
        text = ""
        while "}" not in text:
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            text += line
        yield Server(json.loads(text)["address"], process, directory)
    finally:
        process.terminate()
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


@pytest.fixture(scope="session")
def start() -> Start:
    return running


@pytest.fixture(scope="session")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build of the bundled model."""
    return hnlpu.build(
        ROOT / "checkpoints" / "stdlib-8m", tmp_path_factory.mktemp("served") / "build"
    )


@pytest.fixture(scope="session")
def model(bundled: Path) -> LanguageModel:
    """The same model, offline."""
    return open_language_model(bundled)


@pytest.fixture(scope="session")
def server(bundled: Path) -> Iterator[Server]:
    """One server of the bundled model, for all tests that leave it as it is."""
    with running(bundled) as found:
        yield found
