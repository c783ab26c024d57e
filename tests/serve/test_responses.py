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
        ({"previous_response_id": "resp_1"}, "send the whole conversation"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type: must be function"),
        ({"text": {"format": {"type": "yaml"}}}, "response_format.type: must be text"),
    ],
)
def test_a_wrong_request_is_told(server, change, told):
    response = server.post("/v1/responses", {"input": "a"} | change)
    assert response.status_code == 400, response.text
    assert told in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "thought", [{"content": 5}, {"content": ["a"]}, {"content": [{"text": 3}]}, {"summary": {"text": 1}}]
)  # fmt: skip
def test_thoughts_of_another_form_are_refused(server, thought):
    items = [{"type": "reasoning"} | thought, {"role": "user", "content": "a"}]
    response = server.post("/v1/responses", {"input": items})
    assert response.status_code == 400, response.text
    assert "item 0" in response.json()["error"]["message"]


def test_what_is_told_back_need_not_be_unicode(server):
    odd = {"a": "\ud800"}
    response = server.post("/v1/responses", {"input": "a", "max_output_tokens": 1, "metadata": odd})
    assert response.status_code == 200, response.text
    assert response.json()["metadata"] == odd
