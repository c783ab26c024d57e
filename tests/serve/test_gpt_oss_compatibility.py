"""What a provider of gpt-oss must get right: calls of tools by every way of asking, in forms that clients know.

The same questions as the compatibility test that OpenAI asks providers of gpt-oss to pass: is every answer of the
API's form, and is the tool called that should be, with its arguments?  The model is a gpt-oss whose weights say one
harmony message, token by token, so that the right answer is known.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from test_chat import TEMPLATE

import hnlpu
from helpers import bfloat16, make_config, random_tensors, write_checkpoint
from hnlpu.run.chat import ALL_MARKS

QUESTION = "What is the weather in Rome?"
SCHEMAS = {
    "get_weather": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False},
    "get_health": {"type": "object", "properties": {}, "additionalProperties": False},
    "search": {
        "type": "object",
        "properties": {"query": {"type": "string"}, "limit": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}}},
        "required": ["query", "limit", "tags"],
        "additionalProperties": False,
    },
}  # fmt: skip
ARGUMENTS = {
    "get_weather": ['{"city": ', '"Rome"}'],
    "get_health": ["{}"],
    "search": ['{"query":"a b', '","limit": 3,', ' "tags": ["x", "y"]}'],
}
CASES = list(SCHEMAS)
EVENT = TypeAdapter(ResponseStreamEvent)


def says(folder: Path, chain: list[str]) -> Path:
    """A build of a gpt-oss in which each token of `chain` follows the one before it, whatever else was said."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({char: i for i, char in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([*ALL_MARKS, "<|endoftext|>"])
    tokenizer.add_tokens([word for word in chain if word not in ALL_MARKS])
    vocabulary = 288
    config = make_config(vocab_size=vocabulary)
    norms = {n: a for n, a in random_tensors(config).items() if "norm" in n}
    rest = {n: np.zeros_like(a) for n, a in random_tensors(config).items() if n not in norms}
    table = np.random.default_rng(0).choice([-1.0, 1.0], (vocabulary, config["hidden_size"]))
    head = np.zeros_like(table)
    ids = [tokenizer.token_to_id(word) for word in chain]
    for before, after in itertools.pairwise(ids):
        head[after] += table[before]
    tensors = rest | {n: bfloat16(np.ones(a.shape)) for n, a in norms.items()}
    tensors |= {"model.embed_tokens.weight": bfloat16(table), "lm_head.weight": bfloat16(head)}
    write_checkpoint(folder, tensors=tensors, vocab_size=vocabulary)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<|endoftext|>"}')
    return hnlpu.build(folder, folder.with_name("build"), workers=1)


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory, start):
    """The name of the tool that must be called, and a server whose model calls it."""
    header = ["assistant", "<|channel|>", f"commentary to=functions.{request.param} ", "<|constrain|>", "json", "<|message|>"]  # fmt: skip
    chain = [*header, *ARGUMENTS[request.param], "<|call|>"]
    with start(says(tmp_path_factory.mktemp("says") / "checkpoint", chain)) as server:
        yield request.param, server


def check(name, found, arguments):
    assert found == name
    assert json.loads(arguments) == json.loads("".join(ARGUMENTS[name]))
    jsonschema.validate(json.loads(arguments), SCHEMAS[name])


@pytest.mark.parametrize("streamed", [False, True])
def test_chats_call_the_tool(case, streamed):
    name, server = case
    tools = [
        {"type": "function", "function": {"name": n, "description": "d", "parameters": s}}
        for n, s in SCHEMAS.items()
    ]
    said = [{"role": "user", "content": QUESTION}]
    body = {"model": "build", "messages": said, "tools": tools, "temperature": 0}
    client = OpenAI(base_url=server.address + "/v1", api_key="unused", max_retries=0)
    if streamed:
        for block in server.post("/v1/chat/completions", body | {"stream": True}).text.split(
            "\n\n"
        ):
            if block.startswith("data: {"):
                ChatCompletionChunk.model_validate_json(block[6:])
        with client.chat.completions.stream(**body) as stream:
            for _ in stream:
                pass
        choice = stream.get_final_completion().choices[0]
    else:
        ChatCompletion.model_validate(server.post("/v1/chat/completions", body).json())
        choice = client.chat.completions.create(**body).choices[0]
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    check(name, call.function.name, call.function.arguments)
    result = {"role": "tool", "tool_call_id": call.id, "content": '{"ok": true}'}
    message = choice.message.model_dump(exclude_none=True, exclude={"parsed"})
    again = client.chat.completions.create(**body | {"messages": [*said, message, result]})
    assert again.choices[0].message.tool_calls[0].id != call.id


@pytest.mark.parametrize("streamed", [False, True])
def test_responses_call_the_tool(case, streamed):
    name, server = case
    tools = [
        {"type": "function", "name": n, "description": "d", "parameters": s, "strict": True}
        for n, s in SCHEMAS.items()
    ]
    body = {"model": "build", "input": QUESTION, "tools": tools, "temperature": 0}
    client = OpenAI(base_url=server.address + "/v1", api_key="unused", max_retries=0)
    if streamed:
        for block in (
            server.post("/v1/responses", body | {"stream": True}).text.strip().split("\n\n")
        ):
            EVENT.validate_json(block.split("\n")[1].removeprefix("data: "))
        with client.responses.stream(**body) as stream:
            for _ in stream:
                pass
        response = stream.get_final_response()
    else:
        Response.model_validate(server.post("/v1/responses", body).json())
        response = client.responses.create(**body)
    assert response.status == "completed"
    (call,) = [item for item in response.output if item.type == "function_call"]
    check(name, call.name, call.arguments)
    output = {"type": "function_call_output", "call_id": call.call_id, "output": '{"ok": true}'}
    again = client.responses.create(
        **body | {"input": [output], "previous_response_id": response.id}
    )
    assert again.output[-1].call_id != call.call_id
