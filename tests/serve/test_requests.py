"""Requests that clients really send: what means nothing changes nothing, and what is wrong is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

COMPLETION = {"prompt": "import os\n", "max_tokens": 3, "temperature": 0}
CHAT = {"messages": [{"role": "user", "content": "x = "}], "max_tokens": 3, "temperature": 0}
NEUTRAL = {
    "model": "", "n": 1, "seed": -1, "stop": [], "stop_token_ids": [], "top_k": -1, "min_p": 0,
    "repetition_penalty": 1.0, "presence_penalty": 0, "frequency_penalty": 0, "logit_bias": {},
    "stream": False, "user": "me", "service_tier": "auto", "skip_special_tokens": True,
    "spaces_between_special_tokens": True, "include_stop_str_in_output": False, "min_tokens": 0,
    "use_beam_search": False, "response_format": {"type": "text"}, "priority": 0,
    "ignore_eos": False,
}  # fmt: skip
NEUTRAL_CHAT = {
    "tools": [], "tool_choice": "none", "parallel_tool_calls": False, "functions": [],
    "function_call": "none", "logprobs": False, "top_logprobs": 0, "store": False, "metadata": {},
    "modalities": ["text"], "reasoning_effort": "medium", "chat_template_kwargs": {}, "echo": False,
    "max_completion_tokens": 3, "add_generation_prompt": True, "documents": [],
}  # fmt: skip


def answer(server, path, body):
    response = server.post(path, body)
    assert response.status_code == 200, response.text
    assert "Warning" not in response.headers
    (choice,) = response.json()["choices"]
    return choice.get("text") or choice["message"]["content"]


@pytest.mark.parametrize("value", [None, "neutral"])
def test_null_and_neutral_values_change_nothing(server, value):
    for path, body, neutral in (
        (
            "/v1/completions",
            COMPLETION,
            {"echo": False, "logprobs": None, "best_of": 1, "suffix": ""},
        ),
        ("/v1/chat/completions", CHAT, NEUTRAL_CHAT),
    ):
        plain = answer(server, path, body)
        fields = NEUTRAL | neutral
        for name, field in fields.items():
            given = {name: None if value is None else field}
            assert answer(server, path, body | given) == plain, given
        everything = fields if value else dict.fromkeys(fields)
        assert answer(server, path, body | everything) == plain


def test_every_field_of_the_document_takes_null(server):
    schemas = server.get("/openapi.json").json()["components"]["schemas"]
    for path, name, body in (
        ("/v1/completions", "CompletionRequest", COMPLETION),
        ("/v1/chat/completions", "ChatRequest", CHAT),
    ):
        names = set(schemas[name]["properties"]) - {"prompt", "messages", "max_tokens"}
        answer(server, path, dict.fromkeys(names) | body)


def test_options_of_a_stream_that_ask_for_nothing(server):
    plain = answer(server, "/v1/completions", COMPLETION)
    for options in ({}, {"include_usage": False}, {"include_usage": None}):
        given = {"stream_options": options, "prompt_logprobs": False}
        assert answer(server, "/v1/completions", COMPLETION | given) == plain


def test_items_and_parts_without_a_type(server):
    parts = [{"type": None, "text": "a"}]
    for path, body in (
        ("/v1/responses", {"input": [{"type": None, "role": "user", "content": parts}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": parts}]}),
    ):
        assert server.post(path, body).status_code == 200


def test_whole_numbers_may_have_a_point(server):
    plain = answer(server, "/v1/completions", COMPLETION | {"seed": 3, "n": 1})
    pointed = COMPLETION | {"max_tokens": 3.0, "seed": 3.0, "n": 1.0, "top_k": -1.0}
    assert answer(server, "/v1/completions", pointed) == plain


def test_a_top_p_of_nothing_is_greedy(server):
    greedy = answer(server, "/v1/completions", COMPLETION)
    for seed in range(3):
        body = COMPLETION | {"temperature": 1.5, "top_p": 0, "seed": seed}
        assert answer(server, "/v1/completions", body) == greedy


def test_negative_seeds_are_seeds_and_minus_one_is_any(server):
    body = COMPLETION | {"temperature": 1.0, "max_tokens": 12}
    drawn = {
        seed: answer(server, "/v1/completions", body | {"seed": seed}) for seed in range(-9, -1)
    }
    assert drawn == {s: answer(server, "/v1/completions", body | {"seed": s}) for s in drawn}
    assert len(set(drawn.values())) > 1
    assert len({answer(server, "/v1/completions", body | {"seed": -1}) for _ in range(6)}) > 1
    assert answer(server, "/v1/completions", body | {"seed": -(2**63)})


def test_max_completion_tokens_goes_before_max_tokens(server):
    body = CHAT | {"max_tokens": 5, "max_completion_tokens": 2, "ignore_eos": True}
    usage = server.post("/v1/chat/completions", body).json()["usage"]
    assert usage["completion_tokens"] == 2


def test_unknown_fields_are_told(server):
    body = COMPLETION | {"zebra": 1, "stream_options": {"lion": True}, "stream": True, 'a"\r\nb': 1}
    response = server.post("/v1/completions", body)
    assert response.status_code == 200
    assert response.headers["Warning"] == (
        '299 hnlpu "fields not known here, without effect: zebra a???b stream_options.lion"'
    )
    response = server.post("/v1/chat/completions", CHAT | {f"f{i}": i for i in range(40)})
    assert response.headers["Warning"].endswith('f31 and 8 more"')
    # a message's own fields are for the template
    message = CHAT["messages"][0] | {"zebra": 1}
    assert (
        "Warning" not in server.post("/v1/chat/completions", CHAT | {"messages": [message]}).headers
    )


@pytest.mark.parametrize(
    ("path", "change", "told"),
    [
        ("completions", {"prompt": 5}, "prompt: must be a text, a list of texts, a list of token ids, or a list of such lists, not a number"),
        ("completions", {"prompt": ["a", 1]}, "entry 1 is a number"),
        ("completions", {"prompt": [["a"]]}, "entry 0 is a list"),
        ("completions", {"prompt": [[]]}, "entry 0 is an empty list"),
        ("completions", {"prompt": None}, "prompt: is missing"),
        ("completions", {"temperature": "hot"}, "temperature: must be a number, not a text"),
        ("completions", {"temperature": -1}, "temperature: must be at least 0, is -1"),
        ("completions", {"n": 1.5}, "n: must be a whole number, not 1.5"),
        ("completions", {"temperature": "0.5"}, "temperature: must be a number, not a text"),
        ("completions", {"temperature": True}, "temperature: must be a number, not true or false"),
        ("completions", {"max_tokens": True}, "max_tokens: must be a whole number, not true or false"),
        ("completions", {"max_tokens": "5"}, "max_tokens: must be a whole number, not a text"),
        ("completions", {"echo": 1}, "echo: must be true or false, not 1"),
        ("completions", {"stream": "yes"}, "stream: must be true or false, not a text"),
        ("completions", {"logprobs": True}, "logprobs: must be a whole number"),
        ("completions", {"logit_bias": {"3": "1"}}, "logit_bias.3: must be a number, not a text"),
        ("completions", {"stop_token_ids": [10**6]}, "stop_token_ids: token 1000000 is outside of the vocabulary"),
        ("chat/completions", {"stop_token_ids": [10**6]}, "stop_token_ids: token 1000000 is outside of the vocabulary"),
        ("chat/completions", {"tools": [{"type": "function", "function": {"name": "f"}}] * 2}, "tools: two of them are called f"),
        ("chat/completions", {"parallel_tool_calls": "no"}, "parallel_tool_calls: must be true or false"),
        ("completions", {"stop": [1]}, "stop: entry 0 must be a text, not a number"),
        ("completions", {"suffix": "x"}, "suffix: is not supported here"),
        ("completions", {"bad_words": ["x"]}, "bad_words: is not supported here; give logit_bias"),
        ("completions", {"truncate_prompt_tokens": 5}, "truncate_prompt_tokens: is not supported here"),
        ("completions", {"prompt_embeds": "x"}, "prompt_embeds: is not supported here"),
        ("chat/completions", {"thinking_token_budget": 9}, "thinking_token_budget: is not supported here"),
        ("chat/completions", {"audio": {"voice": "x"}}, "audio: is not supported here"),
        ("completions", {"logit_bias": [1]}, "logit_bias: must be an object, not a list"),
        ("completions", {"response_format": {"type": "yaml"}}, "response_format.type: must be text, json_object, json_schema or structural_tag"),
        ("chat/completions", {"messages": []}, "messages: must have at least 1"),
        ("chat/completions", {"messages": "hi"}, "messages: must be a list, not a text"),
        ("chat/completions", {"messages": [{"content": "a"}]}, "messages.0.role: is missing"),
        ("chat/completions", {"messages": [{"role": "user", "content": 5}]}, "messages.0.content: must be a text or a list of parts, not a number"),
        ("chat/completions", {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "part 0 is of type 'input_audio': this model reads text alone"),
        ("chat/completions", {"functions": [{"name": "f"}]}, "functions: is not supported here; give tools"),
        ("chat/completions", {"tool_choice": "required"}, "tool_choice needs tools"),
        ("chat/completions", {"tools": [{"type": "function", "function": {"name": "f"}}]}, "leave tools out"),
        ("chat/completions", {"reasoning_effort": "huge"}, "reasoning_effort: must be none, minimal"),
        ("embeddings", {"input": "a", "dimensions": 10**6}, "dimensions: must be at most"),
        ("embeddings", {}, "input: is missing"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_told_what_it_should_be(server, path, change, told):
    base = {"completions": COMPLETION, "chat/completions": CHAT, "embeddings": {}}[path]
    response = server.post(f"/v1/{path}", base | change)
    assert response.status_code == 400, response.text
    assert told in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "change", "field"),
    [
        ("completions", {"temperature": -1}, "temperature"),
        ("completions", {"stream_options": {"include_usage": True}}, "stream_options"),
        ("completions", {"min_tokens": 9, "max_tokens": 5}, "min_tokens"),
        ("completions", {"structured_outputs": {"regex": "("}}, "structured_outputs"),
        ("completions", {"guided_grammar": "root ::= ("}, "guided_grammar"),
        ("completions", {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "x"}}}}, "response_format"),
        ("completions", {"prompt": ""}, "prompt"),
        ("completions", {"prompt": "a" * 9000}, "prompt"),
        ("chat/completions", {"messages": [{"role": "user", "content": "a" * 9000}]}, "messages"),
        ("chat/completions", {"tool_choice": "required"}, "tool_choice"),
        ("chat/completions", {"model": "other"}, "model"),
        ("responses", {"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "x"}}}}, "text.format"),
        ("responses", {"input": "a" * 9000}, "input"),
        ("embeddings", {"input": ""}, "input"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_told_its_field(server, path, change, field):
    base = {"completions": COMPLETION, "chat/completions": CHAT, "responses": {"input": "a"}}
    response = server.post(f"/v1/{path}", base.get(path, {}) | change)
    assert response.status_code in (400, 404), response.text
    assert response.json()["error"]["param"] == field, response.text


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
SOUND = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}


@pytest.mark.parametrize("part", [IMAGE, SOUND, {"type": "input_image", "image_url": "x"}])
def test_what_is_no_text_is_refused_at_every_door(server, part):
    said = [{"role": "user", "content": [{"type": "text", "text": "a"}, part]}]
    called = {"type": "function_call_output", "call_id": "a", "output": [part]}
    for path, body, field in (
        ("/v1/chat/completions", {"messages": said}, "messages.0.content"),
        ("/tokenize", {"messages": said}, "messages.0.content"),
        ("/v1/responses", {"input": said}, "input.0.content"),
        ("/v1/responses", {"input": [called]}, "input.0.output"),
        ("/v1/messages", {"messages": said, "max_tokens": 1}, "messages.0.content"),
        ("/v1/messages/count_tokens", {"messages": said}, "messages.0.content"),
        ("/v1/completions", {"prompt": [part]}, "prompt"),
        ("/v1/embeddings", {"input": [part]}, "input"),
        ("/score", {"text_1": "a", "text_2": [part]}, "text_2"),
        ("/rerank", {"query": "a", "documents": [part]}, "documents"),
    ):
        response = server.post(path, body)
        assert response.status_code == 400, response.text
        message = response.json()["error"]["message"]
        assert message.startswith(f"{field}: "), message
        assert "\n" not in message


def test_the_document_says_which_models_there_are(server):
    schemas = server.get("/openapi.json").json()["components"]["schemas"]
    models = {
        n: s["properties"]["model"]
        for n, s in schemas.items()
        if "model" in s.get("properties", {})
    }
    assert {"ChatRequest", "ResponsesRequest", "MessagesRequest", "RerankRequest"} <= set(models)
    assert all(model["enum"] == ["build", None] for model in models.values())


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "text/plain", "text/json", None]
)
def test_json_must_be_sent_as_such(server, kind):
    headers = {} if kind is None else {"Content-Type": kind}
    data = json.dumps(COMPLETION).encode()
    response = requests.post(
        server.address + "/v1/completions", data=data, headers=headers, timeout=60
    )
    assert response.status_code == 415
    assert "application/json" in response.json()["error"]["message"]


@pytest.mark.parametrize("depth", [100, 400, 900])
def test_deep_nesting_is_served_or_refused(server, depth):
    deep: Any = "a"
    for _ in range(depth):
        deep = {"a": deep}
    message = {"role": "user", "content": "a", "extra": deep}
    for change in ({"messages": [message]}, {"chat_template_kwargs": deep}, {"documents": [deep]}):
        response = server.post("/v1/chat/completions", CHAT | change)
        assert response.status_code in (200, 400), response.text


def test_embeddings_of_fewer_dimensions(server):
    whole = server.post("/v1/embeddings", {"input": "a"}).json()["data"][0]["embedding"]
    short = server.post("/v1/embeddings", {"input": "a", "dimensions": 8}).json()["data"][0][
        "embedding"
    ]
    length = sum(x * x for x in whole[:8]) ** 0.5
    assert short == pytest.approx([x / length for x in whole[:8]], abs=1e-6)


def test_usage_tells_what_was_cached(server):
    prompt = list(range(40, 90))
    body = {"prompt": prompt, "max_tokens": 4, "temperature": 0}
    first, second = (server.post("/v1/completions", body).json()["usage"] for _ in range(2))
    assert first["prompt_tokens_details"] == {"cached_tokens": 0}
    assert second["prompt_tokens_details"] == {"cached_tokens": 48}
    options = {"include_usage": True, "continuous_usage_stats": True}
    response = server.post("/v1/completions", body | {"stream": True, "stream_options": options})
    events = [json.loads(e[6:]) for e in response.text.strip().split("\n\n")[:-1]]
    assert [e["usage"]["completion_tokens"] for e in events] == [1, 2, 3, 4, 4]


def test_controls_of_vllm(server, model):
    body = COMPLETION | {"max_tokens": 30}
    text = answer(server, "/v1/completions", body)
    stop = text[10:13]
    cut = text[: text.index(stop)]
    response = server.post("/v1/completions", body | {"stop": stop}).json()["choices"][0]
    assert (response["text"], response["stop_reason"]) == (cut, stop)
    assert (
        answer(server, "/v1/completions", body | {"stop": stop, "include_stop_str_in_output": True})
        == cut + stop
    )
    assert len(answer(server, "/v1/completions", body | {"stop": stop, "min_tokens": 25})) > len(
        cut
    )
    only = model.encode("ab").tolist()
    allowed = answer(
        server, "/v1/completions", body | {"allowed_token_ids": only, "temperature": 1}
    )
    assert set(allowed) <= set("ab")


def test_tokenize_as_vllm(server, model):
    found = server.post("/tokenize", {"prompt": "def f", "return_token_strs": True}).json()
    assert found["tokens"] == model.encode("def f").tolist()
    assert (found["count"], "".join(found["token_strs"])) == (len(found["tokens"]), "def f")
    messages = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    chat = server.post("/tokenize", {"messages": messages}).json()
    assert chat["tokens"] == model.encode("a\nb").tolist()
    assert server.post("/tokenize", {}).status_code == 400
    assert server.post("/detokenize", {"tokens": [0]}).json() == {"prompt": "<|endoftext|>"}


def test_a_request_without_a_body_is_told_so(server):
    headers = {"Content-Type": "application/json"}
    response = requests.post(server.address + "/v1/completions", headers=headers, timeout=60)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["message"] == "the request has no body"


def test_prompt_logprobs_are_the_models_own(server, model):
    prompt = model.encode("import os\ndef f(").tolist()
    expected = model.score(prompt, top=3)
    body = COMPLETION | {"prompt": prompt, "prompt_logprobs": 3, "logprobs": 1}
    plain = server.complete(prompt, max_tokens=3, logprobs=1)["choices"][0]
    (choice,) = server.post("/v1/completions", body).json()["choices"]
    first, *found = choice.pop("prompt_logprobs")
    assert first is None
    assert choice == plain
    for token, logprob, best, entry in zip(
        prompt[1:], expected.logprobs, expected.top or (), found, strict=True
    ):
        assert entry[str(token)]["logprob"] == logprob
        ranks = {str(t): i + 1 for i, (t, _) in enumerate(best)}
        assert {t: e["rank"] for t, e in entry.items() if e["rank"]} == ranks
        assert all(entry[str(t)]["logprob"] == value for t, value in best)
    chat = CHAT | {"prompt_logprobs": 0, "logprobs": True}
    answered = server.post("/v1/chat/completions", chat).json()
    assert [len(e or {}) for e in answered["prompt_logprobs"]] == [
        0, *[1] * (answered["usage"]["prompt_tokens"] - 1)
    ]  # fmt: skip
    assert all(e["top_logprobs"] == [] for e in answered["choices"][0]["logprobs"]["content"])
    streamed = server.post("/v1/completions", body | {"stream": True})
    assert (streamed.status_code, "prompt_logprobs belong" in streamed.text) == (400, True)


def test_speculation_is_counted_and_changes_nothing(server):
    body = COMPLETION | {"prompt": "a = 1\nb = 2\n" * 6, "max_tokens": 60, "logprobs": 2}
    body |= {"temperature": 0.5, "seed": 4, "ignore_eos": True}
    off = server.post("/v1/completions", body).json()
    assert "completion_tokens_details" not in off["usage"]
    on = server.post("/v1/completions", body | {"speculation": True}).json()
    assert on["choices"] == off["choices"]
    details = on["usage"]["completion_tokens_details"]
    assert details["accepted_prediction_tokens"] > 5
    assert details["rejected_prediction_tokens"] >= 0
    text = server.get("/metrics").text
    assert "hnlpu_accepted_tokens_total" in text


def test_texts_are_scored_by_their_embeddings(server):
    texts = ["import os", "import sys", "def f(x):"]
    vectors = [
        entry["embedding"]
        for entry in server.post("/v1/embeddings", {"input": texts}).json()["data"]
    ]
    cosines = [sum(a * b for a, b in zip(vectors[0], v, strict=True)) for v in vectors]
    for path in ("/score", "/v1/score"):
        answered = server.post(path, {"text_1": texts[0], "text_2": texts}).json()
        assert [e["score"] for e in answered["data"]] == pytest.approx(cosines, abs=1e-5)
    pairs = server.post("/score", {"text_1": texts[:2], "text_2": texts[1:]}).json()
    assert len(pairs["data"]) == 2
    for path in ("/rerank", "/v1/rerank", "/v2/rerank"):
        body = {
            "query": texts[0],
            "documents": [texts[2], {"text": texts[1]}, texts[0]],
            "top_n": 2,
        }
        results = server.post(path, body).json()["results"]
        assert [r["index"] for r in results] == sorted(
            range(3), key=lambda i: -[cosines[2], cosines[1], cosines[0]][i]
        )[:2]
        assert results[0]["document"] == {"text": texts[0]}
    for path, body, told in (
        ("/score", {"text_1": texts, "text_2": texts[:2]}, "text_2: must have as many texts"),
        ("/score", {"text_1": 5, "text_2": "a"}, "text_1: must be a text or a list of texts, not a number"),
        ("/rerank", {"query": "a", "documents": []}, "documents: must be a text or a list"),
        ("/rerank", {"query": "a", "documents": ["b", 3]}, "documents: entry 1 must be a text"),
    ):  # fmt: skip
        response = server.post(path, body)
        assert (response.status_code, told in response.text) == (400, True), response.text
