"""Models of other families behind OpenAI's API: the same as offline, to the bit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

import hnlpu
from family_builds import made
from helpers import write_tokenizer
from hnlpu.model.policy import make_policy
from hnlpu.run.emulate import LanguageModel, open_language_model

PROMPT = "1+2*(3-4)/5=!"
FAMILIES = ["qwen3_moe", "mamba2"]


@pytest.fixture(scope="module", params=FAMILIES)
def build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build with a tokenizer, in a folder that bears the family's name."""
    folder = tmp_path_factory.mktemp("families")
    of = made(request.param)
    checkpoint = Path(shutil.copytree(of.checkpoint, folder / "checkpoint"))
    write_tokenizer(checkpoint, of.sample.config["vocab_size"])
    policy = make_policy(experts="mxfp4x2")
    return hnlpu.build(checkpoint, folder / request.param, policy, workers=1)


@pytest.fixture(scope="module")
def offline(build: Path) -> LanguageModel:
    return open_language_model(build)


@pytest.fixture(scope="module")
def server(build: Path, start: Any) -> Iterator[Any]:
    with start(build) as found:
        yield found


@pytest.fixture(scope="module")
def client(server: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.address + "/v1", api_key="unused", max_retries=0)


def test_completions_seeds_and_log_probabilities(client, offline, build) -> None:
    new = list(offline.generate(PROMPT, max_tokens=20, ignore_end=True))
    answer = client.completions.create(
        model=build.name, prompt=PROMPT, max_tokens=20, temperature=0, logprobs=3,
        extra_body={"ignore_eos": True},
    )  # fmt: skip
    (choice,) = answer.choices
    assert choice.text == "".join(token.text for token in new)
    ids = [*offline.encode(PROMPT).tolist(), *(token.id for token in new)]
    assert choice.logprobs.token_logprobs == offline.score(ids).logprobs[-20:]
    drawn = client.completions.create(
        model=build.name, prompt=PROMPT, max_tokens=12, temperature=1.3, seed=5, n=3
    )
    expected = [
        "".join(
            t.text for t in offline.generate(PROMPT, max_tokens=12, temperature=1.3, seed=5 + i)
        )
        for i in range(3)
    ]
    assert [choice.text for choice in drawn.choices] == expected
    assert len(set(expected)) > 1


def test_a_stream_and_a_chat(client, offline, build) -> None:
    chunks = client.completions.create(
        model=build.name, prompt=PROMPT, max_tokens=15, temperature=0.9, seed=2, stream=True
    )
    new = offline.generate(PROMPT, max_tokens=15, temperature=0.9, seed=2)
    assert "".join(c.choices[0].text for c in chunks) == "".join(t.text for t in new)
    said = [{"role": "user", "content": "1+"}, {"role": "user", "content": "2"}]
    answer = client.chat.completions.create(
        model=build.name, messages=said, max_tokens=10, temperature=0
    )
    new = offline.generate("1+\n2", max_tokens=10)
    assert answer.choices[0].message.content == "".join(t.text for t in new)


def test_embeddings(client, offline, build) -> None:
    run = offline.transformer
    hidden = run.forward(offline.encode(PROMPT), run.new_cache())
    answer = client.embeddings.create(
        model=build.name, input=PROMPT, extra_body={"pooling": "last", "normalize": False}
    )
    assert np.array_equal(np.array(answer.data[0].embedding, np.float32), hidden[-1])
    few = client.embeddings.create(
        model=build.name, input=PROMPT, dimensions=3,
        extra_body={"pooling": "last", "normalize": False},
    )  # fmt: skip
    assert np.array_equal(np.array(few.data[0].embedding, np.float32), hidden[-1, :3])
    with pytest.raises(openai.BadRequestError, match=f"must be at most {hidden.shape[1]}, is 9999"):
        client.embeddings.create(model=build.name, input=PROMPT, dimensions=9999)


def test_company_changes_nothing(server, offline, build) -> None:
    prompts = [PROMPT * (1 + n % 4) + "0123456789"[n % 10] for n in range(16)]

    def ask(prompt: str) -> str:
        return server.complete(prompt, model=build.name, max_tokens=8)["choices"][0]["text"]

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, prompts))
    expected = [
        "".join(t.text for t in offline.generate(prompt, max_tokens=8)) for prompt in prompts
    ]
    assert found == expected
    assert ask(prompts[3]) == expected[3]  # what is filed is found
    metrics = server.get("/metrics").text
    used = {
        line.split()[0]: float(line.split()[1])
        for line in metrics.splitlines()
        if line.startswith("hnlpu_")
    }
    assert used["hnlpu_cache_pages_used"] == used["hnlpu_cache_slots_used"] == 0
    assert used["hnlpu_reused_tokens_total"] > 0
    kind = "slots" if build.name == "mamba2" else "pages"
    assert used[f"hnlpu_cache_{kind}"] > 0


def test_what_is_told_of_the_model(server, offline, build) -> None:
    facts = server.get("/hnlpu/model?wait=true").json()
    limited = build.name != "mamba2"
    assert facts["family"] == build.name
    assert facts["context"] == (256 if limited else 131072)
    (entry,) = server.get("/v1/models").json()["data"]
    assert entry["max_model_len"] == facts["context"]
    answer = server.complete(PROMPT, model=build.name, max_tokens=3, trace_experts=True)
    fired = np.array(answer["choices"][0]["experts"])
    layers, active = len(facts["expert_layers"]), facts["active_experts"]
    assert fired.shape == ((3, layers, active) if layers else (3, 0))
    if build.name == "qwen3_moe":
        assert 0 <= fired.min() <= fired.max() < facts["experts"]
        assert layers == 3 or facts["expert_layers"][0] > 0
    else:
        assert layers == facts["experts"] == 0
    assert "problem" in facts["chip"] or facts["chip"]["tokens_per_second"] > 0


def test_an_answer_beyond_the_context_is_refused(server, build) -> None:
    body = {"model": build.name, "prompt": [2] * 300, "max_tokens": 2}
    response = server.post("/v1/completions", body)
    assert response.status_code == (400 if build.name == "qwen3_moe" else 200), response.text
