"""/v1/responses by the openai client and its own types: items, events, tools, reasoning."""

from __future__ import annotations

import json

import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from test_chat import TOOLS, WEATHER, biases, harmony  # noqa: F401  a fixture

EVENT = TypeAdapter(ResponseStreamEvent)
FLAT = [{"type": "function"} | tool["function"] for tool in TOOLS]


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=server.address + "/v1", api_key="unused", max_retries=0)


def post(server, **more):
    response = server.post(
        "/v1/responses", {"input": "hi", "max_output_tokens": 250, "seed": 1} | more
    )
    assert response.status_code == 200, response.text
    return response


def test_a_text_is_answered(client, model):
    answer = client.responses.create(input="import os\n", max_output_tokens=12, temperature=0)
    assert answer.output_text == "".join(
        t.text for t in model.generate("import os\n", max_tokens=12)
    )
    assert answer.status == "incomplete"
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert answer.usage.output_tokens == 12


def test_instructions_and_items_are_a_conversation(client, model):
    answer = client.responses.create(
        instructions="import os", temperature=0, max_output_tokens=8,
        input=[{"role": "user", "content": [{"type": "input_text", "text": "def f("}]}],
    )  # fmt: skip
    assert answer.output_text == "".join(
        t.text for t in model.generate("import os\ndef f(", max_tokens=8)
    )


def test_structured_answers(client):
    form = {"type": "json_schema", "name": "w", "schema": WEATHER, "strict": True}
    answer = client.responses.create(input="x", text={"format": form}, max_output_tokens=200)
    assert set(json.loads(answer.output_text)) == {"city", "days"}
    assert answer.status == "completed"


def events_of(response):
    found = []
    for block in response.text.strip().split("\n\n"):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        EVENT.validate_python(event)
        found.append(event)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_streams_tell_what_is_answered_at_once(harmony, choice):  # noqa: F811
    for seed in range(3):
        options = {"tools": FLAT, "tool_choice": choice, "seed": seed, "max_output_tokens": 60}
        whole = post(harmony, **options).json()
        Response.model_validate(whole)
        events = events_of(post(harmony, stream=True, **options))
        last = events[-1]["response"]

        def plain(items):
            return [{k: v for k, v in i.items() if k not in ("id", "call_id")} for i in items]

        assert plain(last["output"]) == plain(whole["output"])
        deltas = {}
        for event in events:
            if event["type"].endswith(".delta"):
                at = event["output_index"]
                deltas[at] = deltas.get(at, "") + event["delta"]
        texts = [
            i["arguments"] if i["type"] == "function_call" else i["content"][0]["text"]
            for i in last["output"]
        ]
        assert [deltas.get(i, "") for i in range(len(texts))] == texts


def test_tools_are_called_and_their_results_come_back(harmony):  # noqa: F811
    call = {"type": "function", "name": "get_weather"}
    client = openai.OpenAI(base_url=harmony.address + "/v1", api_key="unused", max_retries=0)
    answer = client.responses.create(
        input="hi", tools=FLAT, tool_choice=call, max_output_tokens=250,
        extra_body={"seed": 2, "logit_bias": biases(harmony)},
    )  # fmt: skip
    calls = [item for item in answer.output if item.type == "function_call"]
    assert answer.status == "completed"
    assert set(json.loads(calls[0].arguments)) == {"city", "days"}
    items = [
        {"role": "user", "content": "hi"},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "hm"}],
        },
        {"type": "function_call", "call_id": "1", "name": "now", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "12:00"},
    ]
    post(harmony, input=items, tools=FLAT, max_output_tokens=2)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"input": []}, "input: must be a text or a list"),
        ({"input": [{"type": "computer_call"}]}, "item 0 must be of type message"),
        ({"input": [{"content": "a"}]}, "input.0.role: is missing"),
        ({"input": [{"role": "user", "content": 5}]}, "input.0.content: must be a text or a list of parts"),
        ({"input": [{"role": "user", "content": "<|endoftext|>"}]}, "input: '<|endoftext|>' is a special token"),
        ({"input": [{"type": "function_call", "call_id": "1", "arguments": "{}"}]}, "input.0.name: is missing"),
        ({"input": [{"type": "function_call_output", "output": "1"}]}, "input.0.call_id: is missing"),
        ({"previous_response_id": "resp_1"}, "previous_response_id: no response 'resp_1' is stored"),
        ({"max_output_tokens": 10**6}, "max_output_tokens 1000000: this server gives at most"),
        ({"max_output_tokens": True}, "max_output_tokens: must be a whole number, not true or false"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "tools.0.name: must be of letters"),
        ({"tools": [{"type": "function", "name": n} for n in "aba"]}, "two of them are called a"),
        ({"tool_choice": 3}, "tool_choice: must be none, auto, required"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort: must be none, minimal"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema: is missing"),
        ({"text": {"format": {"type": "json_schema", "schema": {"type": "x"}}}}, "JSON schema: "),
        ({"stop": [1]}, "stop: entry 0 must be a text"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type: must be function"),
        ({"text": {"format": {"type": "yaml"}}}, "text.format.type: must be text"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_told(server, change, told):
    response = server.post("/v1/responses", {"input": "a"} | change)
    assert response.status_code == (404 if "no response" in told else 400), response.text
    assert told in response.json()["error"]["message"]
    assert "messages" not in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "thought", [{"content": 5}, {"content": ["a"]}, {"content": [{"text": 3}]}, {"summary": {"text": 1}}]
)  # fmt: skip
def test_thoughts_of_another_form_are_refused(server, thought):
    items = [{"type": "reasoning"} | thought, {"role": "user", "content": "a"}]
    response = server.post("/v1/responses", {"input": items})
    assert response.status_code == 400, response.text
    assert "input.0." in response.json()["error"]["message"]


def test_what_is_told_back_need_not_be_unicode(server):
    odd = {"a": "\ud800"}
    response = server.post("/v1/responses", {"input": "a", "max_output_tokens": 1, "metadata": odd})
    assert response.status_code == 200, response.text
    assert response.json()["metadata"] == odd


def test_log_probabilities_stand_with_the_text_that_they_belong_to(harmony, server):  # noqa: F811
    beside = 0
    form = {"type": "json_schema", "name": "w", "schema": WEATHER}
    for seed in range(6):
        body = {"seed": seed, "max_output_tokens": 80, "top_logprobs": 2, "store": False}
        body |= {"text": {"format": form}} if seed % 2 else {"logit_bias": biases(harmony)}
        events = events_of(post(harmony, stream=True, **body))
        whole = post(harmony, **body).json()
        items, tokens = whole["output"], whole["usage"]["output_tokens"]
        for i, item in enumerate(items):
            deltas = [
                e for e in events if e.get("output_index") == i and e["type"].endswith("text.delta")
            ]
            if item["type"] != "message":
                assert "logprobs" not in item.get("content", [{}])[0]
                continue
            (part,) = item["content"]
            spelled = bytes(byte for entry in part["logprobs"] for byte in entry["bytes"])
            # marks may cut characters of several bytes in two
            assert [b for b in spelled if b < 128] == [ord(c) for c in part["text"] if c < "\x80"]
            told = [entry for event in deltas for entry in event["logprobs"]]
            assert told == part["logprobs"]
            assert all(len(entry["top_logprobs"]) == 2 for entry in told)
            beside += len(told) < tokens - 5
    assert beside  # tokens of headers and marks
    body = {"input": "a", "max_output_tokens": 3, "include": ["message.output_text.logprobs"]}
    (item,) = server.post("/v1/responses", body).json()["output"]
    assert [len(e["top_logprobs"]) for e in item["content"][0]["logprobs"]] == [0, 0, 0]


def test_a_conversation_goes_on_from_a_stored_response(client, server):
    first = client.responses.create(input="import os\n", temperature=0, max_output_tokens=5)
    second = client.responses.create(
        input="def f(", temperature=0, max_output_tokens=5, previous_response_id=first.id
    )
    items = [
        {"role": "user", "content": "import os\n"},
        {"role": "assistant", "content": first.output_text},
        {"role": "user", "content": "def f("},
    ]
    whole = client.responses.create(input=items, temperature=0, max_output_tokens=5, store=False)
    assert (second.output_text, second.usage.input_tokens) == (
        whole.output_text, whole.usage.input_tokens
    )  # fmt: skip
    assert client.responses.retrieve(second.id) == second
    given = client.responses.input_items.list(second.id)
    assert [item.role for item in given.data] == ["user", "assistant", "user"]
    client.responses.delete(first.id)
    for gone in (first.id, whole.id):
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(gone)
        with pytest.raises(openai.NotFoundError, match="send the whole conversation"):
            client.responses.create(input="a", previous_response_id=gone)
    # what a later answer needs of the first is its own
    third = client.responses.create(input="x", max_output_tokens=2, previous_response_id=second.id)
    assert third.usage.input_tokens > second.usage.input_tokens
