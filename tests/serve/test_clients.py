"""The clients that people have: openai, curl, and lm-eval by the shape of its requests."""

from __future__ import annotations

import json
import math
import shutil
import subprocess

import openai
import pytest

PROMPT = "import os\n\n\nclass Queue:\n"


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=server.address + "/v1", api_key="unused", max_retries=0)


def offline(model, prompt, n, **options):
    """Tokens and text of `LanguageModel.generate`."""
    new = list(model.generate(prompt, max_tokens=n, **options))
    return [t.id for t in new], "".join(t.text for t in new)


def test_openai_completion(client, model):
    _, text = offline(model, PROMPT, 30)
    answer = client.completions.create(model="build", prompt=PROMPT, max_tokens=30, temperature=0)
    assert answer.choices[0].text == text
    assert answer.choices[0].finish_reason == "length"
    count = len(model.encode(PROMPT))
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (count, 30)
    assert answer.usage.total_tokens == count + 30


def test_openai_seeds_and_choices(client, model):
    """Choice i is what `generate` says with seed + i."""
    answer = client.completions.create(
        model="build", prompt=[PROMPT, "def f("], max_tokens=15, temperature=0.8, seed=7, n=3
    )
    expected = [
        offline(model, prompt, 15, temperature=0.8, seed=7 + i)[1]
        for prompt in (PROMPT, "def f(")
        for i in range(3)
    ]
    assert [choice.index for choice in answer.choices] == list(range(6))
    assert [choice.text for choice in answer.choices] == expected


def test_openai_stream(client, model):
    tokens, text = offline(model, PROMPT, 25, temperature=0.7, seed=3)
    chunks = list(
        client.completions.create(
            model="build", prompt=PROMPT, max_tokens=25, temperature=0.7, seed=3, stream=True,
            logprobs=2, stream_options={"include_usage": True},
        )
    )  # fmt: skip
    *parts, last = chunks
    assert "".join(c.choices[0].text for c in parts) == text
    assert [c.choices[0].finish_reason for c in parts] == [None] * 24 + ["length"]
    assert (last.choices, last.usage.completion_tokens) == ([], 25)
    values = [c.choices[0].logprobs.token_logprobs[0] for c in parts]
    ids = [*model.encode(PROMPT).tolist(), *tokens]
    assert values == model.score(ids).logprobs[-25:]


def test_openai_stops(client, model):
    _, text = offline(model, PROMPT, 60)
    stop = text[20:24]
    answer = client.completions.create(
        model="build", prompt=PROMPT, max_tokens=60, temperature=0, stop=[stop, "\x00"]
    )
    assert answer.choices[0].text == text[: text.index(stop)]
    assert answer.choices[0].finish_reason == "stop"


def test_openai_chat(client, model):
    """The bundled model knows no roles: messages become one text."""
    messages = [{"role": "system", "content": "import os"}, {"role": "user", "content": "def f("}]
    _, text = offline(model, "import os\ndef f(", 20)
    options = {"model": "build", "messages": messages, "max_tokens": 20, "temperature": 0}
    answer = client.chat.completions.create(**options, logprobs=True, top_logprobs=2)
    assert answer.choices[0].message.content == text
    assert answer.choices[0].message.role == "assistant"
    entries = answer.choices[0].logprobs.content
    assert "".join(e.token for e in entries) == text
    assert all(bytes(e.bytes).decode() == e.token for e in entries)
    assert all(e.top_logprobs[0].logprob == e.logprob for e in entries)
    chunks = list(client.chat.completions.create(**options, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content for c in chunks) == text
    assert chunks[-1].choices[0].finish_reason == "length"


def test_openai_embeddings(client, server, model):
    """Floats and base64 (the client's default) are the same vectors, of length 1."""
    texts = ["def add(a, b):", "import sys"]
    packed = client.embeddings.create(model="build", input=texts)
    plain = server.post("/v1/embeddings", {"model": "build", "input": texts}).json()
    for one, other, text in zip(packed.data, plain["data"], texts, strict=True):
        assert one.embedding == pytest.approx(other["embedding"], abs=1e-7)
        assert math.fsum(x * x for x in one.embedding) == pytest.approx(1, abs=1e-5)
        run, ids = model.transformer, model.encode(text)
        mean = run.forward(ids, run.new_cache()).astype(float).mean(0)
        expected = mean / (mean**2).sum() ** 0.5
        assert one.embedding == pytest.approx(expected.tolist(), abs=1e-6)
    raw = {"model": "build", "input": texts[0], "pooling": "last", "normalize": False}
    last = server.post("/v1/embeddings", raw).json()["data"][0]["embedding"]
    ids = model.encode(texts[0])
    assert last == model.transformer.forward(ids, model.transformer.new_cache())[-1].tolist()


def test_openai_models_and_errors(client):
    assert [m.id for m in client.models.list()] == ["build"]
    assert client.models.retrieve("build").id == "build"
    with pytest.raises(openai.NotFoundError, match="no model 'gpt-4'"):
        client.completions.create(model="gpt-4", prompt="a")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4")
    with pytest.raises(openai.BadRequestError, match="exceeds the context") as error:
        client.completions.create(model="build", prompt="a", max_tokens=2000)
    assert error.value.code == "context_length_exceeded"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(server, model):
    body = json.dumps({"model": "build", "prompt": PROMPT, "max_tokens": 8, "temperature": 0})
    command = ["curl", "-sS", "--fail", server.address + "/v1/completions", "-d", body]
    command += ["-H", "Content-Type: application/json"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(answer.stdout)["choices"][0]["text"] == offline(model, PROMPT, 8)[1]
    body = json.dumps({"model": "build", "prompt": PROMPT, "max_tokens": 8, "stream": True})
    command[5] = body
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    events = answer.stdout.strip().split("\n\n")
    assert len(events) == 9
    assert all(event.startswith("data: ") for event in events)
    assert events[-1] == "data: [DONE]"


def test_lm_eval_scores(server, model):
    """What lm-eval's `local-completions` sends to score, and what it reads from the answer.

    benchmarks/lm_eval_endpoint.py runs lm-eval itself.
    """
    pairs = [("def add(a, b):", " return a + b"), ("import", " os\n"), ("x = [", "1, 2, 3]")]
    contexts = [model.encode(context).tolist() for context, _ in pairs]
    whole = [
        context + model.encode(continuation).tolist()
        for context, (_, continuation) in zip(contexts, pairs, strict=True)
    ]
    payload = {
        "model": "build", "prompt": whole, "temperature": 0, "max_tokens": 1,
        "logprobs": 1, "seed": 1234, "echo": True,
    }  # fmt: skip
    answer = server.post("/v1/completions", payload).json()
    for choice in sorted(answer["choices"], key=lambda c: c["index"]):
        ids, length = whole[choice["index"]], len(contexts[choice["index"]])
        logprobs = choice["logprobs"]
        expected = model.score(ids, top=1)
        assert logprobs["token_logprobs"][length:-1] == expected.logprobs[length - 1 :]
        assert logprobs["token_logprobs"][0] is None
        for value, top, best in zip(
            logprobs["token_logprobs"][1:-1], logprobs["top_logprobs"][1:-1], expected.top,
            strict=True,
        ):  # fmt: skip
            assert max(top.values()) == best[0][1]
            assert value in top.values()


def test_lm_eval_generates(server, model):
    payload = {
        "prompt": [model.encode(PROMPT).tolist(), model.encode("def f(").tolist()],
        "model": "build", "max_tokens": 40, "temperature": 0, "stop": ["\n\n"], "seed": 1234,
    }  # fmt: skip
    answer = server.post("/v1/completions", payload).json()
    for choice, prompt in zip(answer["choices"], (PROMPT, "def f("), strict=True):
        assert choice["text"] == offline(model, prompt, 40)[1].split("\n\n")[0]


def test_echo_streams_what_it_answers_at_once(server):
    body = {"max_tokens": 4, "echo": True, "logprobs": 2, "n": 2, "seed": 1, "temperature": 1}
    whole = server.complete("import os", **body)
    text, logprobs = ["", ""], [{}, {}]
    response = server.post(
        "/v1/completions", {"model": "build", "prompt": "import os", "stream": True} | body
    )
    for event in response.text.strip().split("\n\n")[:-1]:
        (choice,) = json.loads(event.removeprefix("data: "))["choices"]
        text[choice["index"]] += choice["text"]
        for key, values in choice["logprobs"].items():
            logprobs[choice["index"]].setdefault(key, []).extend(values)
    assert text == [c["text"] for c in whole["choices"]]
    assert logprobs == [c["logprobs"] for c in whole["choices"]]


def test_the_tokenizer_over_the_wire(server, model):
    """What lm-eval's `tokenizer_backend=remote` asks for."""
    text = "def f(x):\n    return 'é'\n"
    body = {"prompt": text, "add_special_tokens": False}
    tokens = server.post("/tokenize", body).json()["tokens"]
    assert tokens == model.encode(text).tolist()
    assert server.post("/detokenize", {"tokens": tokens}).json()["prompt"] == text
    assert server.post("/detokenize", {"tokens": [99999]}).status_code == 400
    info = server.get("/tokenizer_info").json()
    assert (info["eos_token"], info["chat_template"]) == ("<|endoftext|>", None)
    assert server.post("/tokenize", {"prompt": "<|endoftext|>"}).json()["tokens"] == [0]
