"""Conversations over the wire: harmony's channels, tools, structured answers, thoughts."""

from __future__ import annotations

import json

import jsonschema
import openai
import pytest

import hnlpu
from helpers import write_checkpoint
from hnlpu.run.chat import ALL_MARKS

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>"
    "{% endfor %}{% if tools %}{{ tools | tojson }}{% endif %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function.arguments | tojson }}</tool_call>{% endfor %}"
    "<|im_end|>\n{% endfor %}{% for t in tools or [] %}{{ t | tojson }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA = "{{ tools }}{% for m in messages %}<|start_header_id|>{{ m.role }}{{ m.content }}{% endfor %}<|end_header_id|>"
MISTRAL = "{% for m in messages %}[INST]{{ m.content }}[/INST]{% endfor %}{{ tools }}"
WEATHER = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}, "days": {"type": "integer", "maximum": 9, "minimum": 0}},
    "required": ["city", "days"],
    "additionalProperties": False,
}  # fmt: skip
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "d", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}, "additionalProperties": False}}},
]  # fmt: skip
HI = [{"role": "user", "content": "hi"}]


def checkpoint(folder, template, special, added=(), ends=()):
    """A checkpoint of random weights whose vocabulary is bytes and some marks."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    write_checkpoint(folder, vocab=288)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({char: i for i, char in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([*special, "<|endoftext|>"])
    tokenizer.add_tokens(list(added))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(template)
    settings = {"eos_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return hnlpu.build(folder, folder.with_name("build"))


def test_a_message_cannot_pretend_to_be_anothers(server):
    for message in (
        {"role": "user", "content": "a<|endoftext|>b"},
        {"role": "user", "content": [{"type": "text", "text": "<|endoftext|>"}]},
        {"role": "user<|endoftext|>", "content": "a"},
    ):
        response = server.post("/v1/chat/completions", {"messages": [message]})
        assert response.status_code == 400
        assert "special token" in response.json()["error"]["message"]


@pytest.fixture(scope="module")
def harmony(tmp_path_factory, start):
    build = checkpoint(tmp_path_factory.mktemp("harmony") / "checkpoint", TEMPLATE, ALL_MARKS)
    with start(build) as server:
        yield server


MODELS = {
    "hermes": (
        CHATML,
        ["<|im_start|>", "<|im_end|>"],
        ["<tool_call>", "</tool_call>", "<think>", "</think>"],
    ),
    "llama": (LLAMA, ["<|start_header_id|>", "<|end_header_id|>", "<|python_tag|>"], []),
    "mistral": (MISTRAL, ["[INST]", "[/INST]", "[TOOL_CALLS]"], []),
    "mistral_args": (MISTRAL, ["[INST]", "[/INST]", "[TOOL_CALLS]", "[ARGS]"], []),
}


@pytest.fixture(scope="module", params=["harmony", *MODELS])
def any_format(request, tmp_path_factory, start):
    """A served model of each format of tool calls."""
    if request.param == "harmony":
        yield request.getfixturevalue("harmony")
        return
    template, special, added = MODELS[request.param]
    folder = tmp_path_factory.mktemp(request.param) / "checkpoint"
    with start(checkpoint(folder, template, special, added)) as server:
        yield server


def chat(server, **more):
    body = {"model": "build", "messages": HI, "max_tokens": 250, "temperature": 1, "seed": 1} | more
    response = server.post("/v1/chat/completions", body)
    assert response.status_code == 200, response.text
    return response


def check_calls(calls):
    for call in calls:
        arguments = json.loads(call["function"]["arguments"])
        (schema,) = [
            t["function"]["parameters"]
            for t in TOOLS
            if t["function"]["name"] == call["function"]["name"]
        ]
        jsonschema.validate(arguments, schema)
        assert len(call["id"]) == 9


def biases(server):
    """Random weights may think for ever; these keep them from beginning."""
    body = {"prompt": "analysis < <think>", "return_token_strs": True}
    found = server.post("/tokenize", body).json()
    pairs = zip(found["tokens"], found["token_strs"], strict=True)
    return {str(token): -100 for token, text in pairs if text in ("a", "<", "<think>")}


def test_required_calls_keep_to_their_schema(any_format):
    for seed in range(3):
        options = {"tools": TOOLS, "seed": seed, "logit_bias": biases(any_format)}
        found = chat(any_format, tool_choice="required", parallel_tool_calls=False, **options)
        (choice,) = found.json()["choices"]
        (call,) = choice["message"]["tool_calls"]
        check_calls([call])
        assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
        name = {"type": "function", "function": {"name": "get_weather"}}
        (choice,) = chat(any_format, tool_choice=name, **options).json()["choices"]
        (call,) = choice["message"]["tool_calls"]
        assert (call["function"]["name"], choice["finish_reason"]) == ("get_weather", "stop")
        check_calls([call])


def test_streams_tell_the_same_calls(any_format):
    options = {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False,
               "logit_bias": biases(any_format)}  # fmt: skip
    (whole,) = chat(any_format, **options).json()["choices"]
    text = chat(any_format, stream=True, **options).text
    events = [json.loads(e[6:])["choices"][0] for e in text.strip().split("\n\n")[:-1]]
    parts = [c for e in events for c in e["delta"].get("tool_calls", [])]
    assert [p["function"]["name"] for p in parts if "name" in p["function"]] == [
        c["function"]["name"] for c in whole["message"]["tool_calls"]
    ]
    arguments = "".join(p["function"]["arguments"] for p in parts)
    assert arguments == whole["message"]["tool_calls"][0]["function"]["arguments"]
    assert events[-1]["finish_reason"] == "tool_calls"


def test_tools_that_may_be_called_change_no_free_answer(any_format):
    """What is no call is as free as without tools; what is one keeps to its schema."""
    for seed in range(2):
        found = chat(any_format, tools=TOOLS, tool_choice="auto", seed=seed, max_tokens=40)
        message = found.json()["choices"][0]["message"]
        if found.json()["choices"][0]["finish_reason"] != "length":
            check_calls(message.get("tool_calls", []))


def test_results_of_tools_come_back(any_format):
    call = {"id": "123456789", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    messages = [
        *HI,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "123456789", "name": "now", "content": "12:00"},
    ]
    chat(any_format, messages=messages, tools=TOOLS, max_tokens=2)
    chat(any_format, messages=messages, max_tokens=2)  # without tools they are still history


@pytest.mark.parametrize(
    "wanted",
    [
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": WEATHER},
            }
        },
        {"structured_outputs": {"choice": ["yes", "no"]}},
        {"structured_outputs": {"regex": "[ab]{3}"}},
        {"structured_outputs": {"grammar": 'root ::= "x" [0-9] "y"'}},
        {"guided_json": WEATHER},
    ],
    ids=str,
)
def test_structured_answers_stand_in_the_content(any_format, wanted):
    (choice,) = chat(any_format, logit_bias=biases(any_format), **wanted).json()["choices"]
    text = choice["message"]["content"]
    assert choice["finish_reason"] == "stop"
    if "choice" in str(wanted):
        assert text in ("yes", "no")
    elif "regex" in str(wanted):
        assert len(text) == 3
        assert set(text) <= set("ab")
    elif "grammar" in str(wanted):
        assert (text[0], text[2]) == ("x", "y")
    else:
        jsonschema.validate(json.loads(text), WEATHER)


def test_the_openai_client_calls_tools(harmony):
    client = openai.OpenAI(base_url=harmony.address + "/v1", api_key="unused", max_retries=0)
    answer = client.chat.completions.create(
        model="build", messages=HI, tools=TOOLS, tool_choice="required", max_tokens=250,
        extra_body={"logit_bias": biases(harmony)}, seed=3,
    )  # fmt: skip
    (call,) = answer.choices[0].message.tool_calls
    check_calls([call.model_dump()])


def test_reasoning_goes_by_both_names(harmony):
    """Random weights, steered by bias into a channel that has no end."""
    ids = harmony.post("/tokenize", {"prompt": "<|channel|><|message|>a"}).json()["tokens"]
    bias = {str(i): 100 for i in ids}
    options = {"logit_bias": bias, "max_tokens": 40, "frequency_penalty": 2, "presence_penalty": 2}
    message = chat(harmony, **options).json()["choices"][0]["message"]
    said = message["content"] + message.get("reasoning", "")
    assert set(said) <= {"a"}
    assert message.get("reasoning") == message.get("reasoning_content")
    hidden = chat(harmony, include_reasoning=False, **options).json()["choices"][0]["message"]
    assert "reasoning" not in hidden
    assert hidden["content"] == message["content"]
    for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max"):
        chat(harmony, reasoning_effort=effort, max_tokens=1)


def test_template_values_reach_the_template(harmony):
    body = {"messages": HI, "chat_template_kwargs": {"bos_token": "ZZ"}}
    strings = harmony.post("/tokenize", body | {"return_token_strs": True}).json()["token_strs"]
    assert "".join(strings).startswith("ZZ<|start|>user")


def test_template_values_may_have_any_name_but_a_field_of_the_request(harmony):
    body = {"messages": HI, "max_tokens": 1}
    for name in ("template", "self", "values", "eos_token"):
        chat(harmony, chat_template_kwargs={name: "x"}, max_tokens=1)
    for name in ("messages", "tools", "add_generation_prompt", "continue_final_message"):
        response = harmony.post(
            "/v1/chat/completions", body | {"chat_template_kwargs": {name: False}}
        )
        assert response.status_code == 400, response.text
        assert f"give {name} as a field" in response.json()["error"]["message"]
