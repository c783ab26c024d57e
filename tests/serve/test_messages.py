"""/v1/messages by Anthropic's own client: blocks, events, tools, stop reasons, errors."""

from __future__ import annotations

import json

import anthropic
import jsonschema
import pytest
import requests
from test_chat import WEATHER, biases, harmony  # noqa: F401  a fixture

TOOLS = [
    {"name": "get_weather", "description": "d", "input_schema": WEATHER},
    {"name": "now", "input_schema": {"type": "object", "properties": {}, "additionalProperties": False}},
]  # fmt: skip
HI = [{"role": "user", "content": "hi"}]


def client_of(server, **options):
    return anthropic.Anthropic(
        base_url=server.address, max_retries=0, **{"api_key": "unused"} | options
    )


@pytest.fixture(scope="module")
def client(server):
    return client_of(server)


def ask(client, **more):
    options = {"model": "build", "messages": HI, "max_tokens": 120}
    extra = {"extra_body": more.pop("extra_body", {})}
    return client.messages.create(**options | more, **extra)


def test_a_text_is_answered(client, model):
    answer = ask(
        client, system="import os", messages=[{"role": "user", "content": "def f("}],
        max_tokens=8, extra_body={"temperature": 0},
    )  # fmt: skip
    (block,) = answer.content
    assert block.text == "".join(t.text for t in model.generate("import os\ndef f(", max_tokens=8))
    assert (answer.stop_reason, answer.stop_sequence) == ("max_tokens", None)
    usage = answer.usage
    count = client.messages.count_tokens(
        model="build", system="import os", messages=[{"role": "user", "content": "def f("}]
    )
    assert usage.input_tokens + usage.cache_read_input_tokens == count.input_tokens
    assert usage.output_tokens == 8
    stop = block.text[2:5]
    cut = ask(
        client, system="import os", messages=[{"role": "user", "content": "def f("}],
        max_tokens=8, stop_sequences=[stop], extra_body={"temperature": 0},
    )  # fmt: skip
    assert (cut.stop_reason, cut.stop_sequence) == ("stop_sequence", stop)
    assert cut.content[0].text == block.text[: block.text.index(stop)]


def bare(message):
    """A message without what is new each time."""
    found = message.to_dict()
    for name in ("id", "usage"):
        del found[name]
    if (
        found["stop_reason"] == "max_tokens"
    ):  # the client reads arguments that were cut off in its own way
        found["content"] = [b for b in found["content"] if b["type"] != "tool_use"]
    for block in found["content"]:
        block.pop("id", None)
        block.pop("parsed_output", None)
        block.pop("citations", None)
    return found


@pytest.mark.parametrize("choice", ["auto", "any"])
def test_streams_tell_what_is_answered_at_once(harmony, choice):  # noqa: F811
    client, kinds = client_of(harmony), set()
    for seed in range(3):
        options = {"tools": TOOLS, "tool_choice": {"type": choice}, "extra_body": {"seed": seed}}
        whole = ask(client, **options)
        body = {"model": "build", "messages": HI, "max_tokens": 120}
        with client.messages.stream(**body, **options) as stream:
            last = stream.get_final_message()
        assert bare(last) == bare(whole)
        kinds |= {block.type for block in whole.content}
    assert "tool_use" in kinds if choice == "any" else kinds


def test_tools_are_used_and_their_results_come_back(harmony):  # noqa: F811
    client = client_of(harmony)
    choice = {"type": "tool", "name": "get_weather"}
    extra = {"seed": 2, "logit_bias": biases(harmony)}
    answer = ask(client, tools=TOOLS, tool_choice=choice, max_tokens=250, extra_body=extra)
    (use,) = [block for block in answer.content if block.type == "tool_use"]
    jsonschema.validate(use.input, WEATHER)
    assert answer.stop_reason == "tool_use"
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "rain"}
    thought = {"type": "thinking", "thinking": "hm", "signature": ""}
    messages = [
        *HI,
        {"role": "assistant", "content": [thought, {"type": "text", "text": "a"}, use.to_dict()]},
        {"role": "user", "content": [result, {"type": "text", "text": "and now?"}]},
    ]
    assert ask(client, messages=messages, tools=TOOLS, max_tokens=2).usage.output_tokens <= 2


def test_an_answer_goes_on_where_the_last_message_ends(harmony):  # noqa: F811
    """A last message of the assistant's is the answer's beginning, as with Anthropic."""
    client = client_of(harmony)
    begun = [*HI, {"role": "assistant", "content": "The answer is"}]
    extra = {"temperature": 0, "seed": 1}
    answer = ask(client, messages=begun, max_tokens=12, extra_body=extra)
    body = {"messages": begun, "continue_final_message": True, "max_tokens": 12, **extra}
    chat = harmony.post("/v1/chat/completions", body).json()
    assert answer.content[0].text == chat["choices"][0]["message"]["content"]
    tokens = harmony.post("/tokenize", {k: body[k] for k in ("messages", "continue_final_message")})
    prompt = harmony.post("/detokenize", {"tokens": tokens.json()["tokens"]}).json()["prompt"]
    assert prompt.endswith("<|start|>assistant<|message|>The answer is")
    count = client.messages.count_tokens(model="build", messages=begun)
    assert count.input_tokens == tokens.json()["count"]
    events = client.messages.create(
        model="build", messages=begun, max_tokens=12, stream=True, extra_body=extra
    )
    pieces = [e.delta.text for e in events if e.type == "content_block_delta"]
    assert "".join(pieces) == answer.content[0].text
    other = ask(client, messages=HI, max_tokens=12, extra_body=extra)  # a control
    assert other.content[0].text != answer.content[0].text
    body["add_generation_prompt"] = True
    for path in ("/v1/chat/completions", "/tokenize"):
        refused = harmony.post(path, body)
        assert refused.status_code == 400
        assert refused.json()["error"]["message"].startswith("continue_final_message: ")


def test_structured_answers(client):
    form = {"format": {"type": "json_schema", "schema": WEATHER}}
    answer = ask(client, max_tokens=200, extra_body={"output_config": form})
    jsonschema.validate(json.loads(answer.content[0].text), WEATHER)
    assert answer.stop_reason == "end_turn"


IMAGE = {"type": "image", "source": {"type": "url", "url": "x"}}


def result(content):
    """A message with what a tool answered."""
    block = {"type": "tool_result", "tool_use_id": "x", "content": content}
    return {"role": "user", "content": [block]}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"max_tokens": None}, "max_tokens: is missing"),
        ({"max_tokens": True}, "max_tokens: must be a whole number, not true or false"),
        ({"max_tokens": 10**6}, "max_tokens 1000000: this server gives at most"),
        ({"messages": []}, "messages: must have at least 1"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages.0.role: must be user, assistant"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content: must be a text or a list of blocks"),
        ({"messages": [result([IMAGE])]}, "messages.0.content.0.content: block 0 is of type 'image'"),
        ({"messages": [result([{"type": "text", "text": 5}])]}, "messages.0.content.0.content.0.text: "),
        ({"messages": [result(5)]}, "messages.0.content.0.content: must be a text or a list of blocks"),
        ({"system": [IMAGE]}, "system: block 0 is of type 'image'"),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages.0.content: block 0 is of type 'image'"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text: is missing"),
        ({"messages": [{"role": "user", "content": "<|endoftext|>"}]}, "is a special token"),
        ({"system": 5}, "system: must be a text or a list of blocks"),
        ({"tools": [{"name": "a b"}]}, "tools.0.name: must be of letters"),
        ({"tools": [{"name": "a"}] * 2}, "two of them are called a"),
        ({"tool_choice": {"type": "any"}}, "tool_choice: needs tools"),
        ({"tool_choice": {"type": "tool", "name": "x"}}, "tool_choice.name: must be the name"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_told(server, change, told):
    body = {"messages": HI, "max_tokens": 5} | change
    response = server.post("/v1/messages", body)
    assert response.status_code == 400, response.text
    found = response.json()
    assert (found["type"], found["error"]["type"]) == ("error", "invalid_request_error")
    assert told in found["error"]["message"]


def test_keys_and_names_are_told_as_the_client_knows_them(bundled, start):
    with start(bundled, "--api-key", "right-key") as server:
        assert ask(client_of(server, api_key="right-key"), max_tokens=1).usage.output_tokens == 1
        with pytest.raises(anthropic.AuthenticationError):
            ask(client_of(server, api_key="wrong-key"))
        with pytest.raises(anthropic.NotFoundError, match="no model"):
            ask(client_of(server, api_key="right-key"), model="other")
        headers = {"Authorization": "Bearer right-key", "x-api-key": "wrong"}
        body = {"messages": HI, "max_tokens": 1}
        url = server.address + "/v1/messages"
        assert requests.post(url, json=body, headers=headers, timeout=60).status_code == 200
