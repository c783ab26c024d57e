"""What the openai client's own examples do, run as its users run them: nothing but the two variables is set.

The model is the bundled one under a name and with a template that calls tools; what it says is of no use, how it
is said and read is what counts.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from openai import AsyncOpenAI, OpenAI, pydantic_function_tool
from pydantic import BaseModel

import hnlpu

MODEL = "gpt-5.2"
CHECKPOINT = Path(__file__).parents[2] / "checkpoints" / "stdlib-8m"
TEMPLATE = (
    "{{ tools | tojson if tools }}{% for m in messages %}{{ m.role }}: {{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}\n"
    "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)


class Event(BaseModel):
    name: str
    day: Literal["Friday", "Monday"]
    participants: list[str]


class Weather(BaseModel):
    """Look the weather up."""

    city: Literal["Paris", "Rome"]
    days: Literal[1, 2, 3]


@pytest.fixture(scope="module")
def address(tmp_path_factory, start) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(CHECKPOINT, folder / "checkpoint")
    (folder / "checkpoint" / "chat_template.jinja").write_text(TEMPLATE)
    build = hnlpu.build(folder / "checkpoint", folder / "build")
    with start(build, "--model-name", MODEL) as server:
        yield server.address


@pytest.fixture(autouse=True)
def variables(address, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", address + "/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "any")


def test_a_response_and_a_chat():
    client = OpenAI()
    response = client.responses.create(
        model=MODEL,
        instructions="You are a coding assistant that talks like a pirate.",
        input="How do I check if a Python object is an instance of a class?",
    )
    assert response.output_text
    completion = client.chat.completions.create(
        model=MODEL,
        messages=[
            {"role": "developer", "content": "Talk like a pirate."},
            {"role": "user", "content": "How do I list files?"},
        ],
    )
    assert completion.choices[0].message.content


def test_streams():
    client = OpenAI()
    stream = client.responses.create(model=MODEL, input="Write a poem.", stream=True)
    kinds = [event.type for event in stream]
    assert kinds[0] == "response.created"
    assert kinds[-1] in ("response.completed", "response.incomplete")
    assert "response.output_text.delta" in kinds
    chunks = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Say this is a test"}], stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    with client.chat.completions.stream(
        model=MODEL, messages=[{"role": "user", "content": "def f("}], response_format=Event, seed=2
    ) as helper:
        seen = {event.type for event in helper}
    assert {"chunk", "content.delta", "content.done"} <= seen
    assert isinstance(helper.get_final_completion().choices[0].message.parsed, Event)


def test_structured_outputs():
    client = OpenAI()
    said = [
        {"role": "system", "content": "Extract the event information."},
        {"role": "user", "content": "Alice and Bob are going to a science fair on Friday."},
    ]
    completion = client.chat.completions.parse(
        model=MODEL, messages=said, response_format=Event, seed=1
    )
    assert isinstance(completion.choices[0].message.parsed, Event)
    response = client.responses.parse(
        model=MODEL, input=said, text_format=Event, extra_body={"seed": 1}
    )
    assert isinstance(response.output_parsed, Event)
    with client.responses.stream(
        model=MODEL, input="solve", text_format=Event, extra_body={"seed": 1}
    ) as stream:
        for _ in stream:
            pass
    assert isinstance(stream.get_final_response().output_parsed, Event)


def test_tools():
    client = OpenAI()
    tools = [pydantic_function_tool(Weather, name="get_weather")]
    said = [{"role": "user", "content": "What is the weather like in Paris?"}]
    completion = client.chat.completions.parse(
        model=MODEL, messages=said, tools=tools, tool_choice="required", parallel_tool_calls=False
    )
    message = completion.choices[0].message
    (call,) = message.tool_calls
    assert isinstance(call.function.parsed_arguments, Weather)
    result = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
    again = client.chat.completions.create(
        model=MODEL, messages=[*said, message, result], tools=tools, max_tokens=5
    )
    assert again.choices[0].finish_reason
    flat = [
        {
            "type": "function",
            "name": "get_weather",
            "parameters": Weather.model_json_schema() | {"additionalProperties": False},
            "strict": True,
        }
    ]
    question = {"role": "user", "content": "What is the weather like in Paris?"}
    response = client.responses.create(
        model=MODEL, input=[question], tools=flat, tool_choice="required",
        parallel_tool_calls=False,
    )  # fmt: skip
    (call,) = [item for item in response.output if item.type == "function_call"]
    Weather.model_validate(json.loads(call.arguments))
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    last = client.responses.create(
        model=MODEL, input=[question, *response.output, output], tools=flat, max_output_tokens=5
    )
    assert last.output


def test_conversations_and_asynchronous_clients():
    client = OpenAI()
    first = client.responses.create(model=MODEL, input="tell me a joke", max_output_tokens=9)
    second = client.responses.create(
        model=MODEL, previous_response_id=first.id, max_output_tokens=9,
        input=[{"role": "user", "content": "explain why this is funny."}],
    )  # fmt: skip
    assert second.previous_response_id == first.id

    async def main():
        asked = AsyncOpenAI()
        answer = await asked.responses.create(
            model=MODEL, input="Disestablish", max_output_tokens=9
        )
        stream = await asked.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "a"}], stream=True, max_tokens=9
        )
        return answer.output_text, [chunk async for chunk in stream]

    text, chunks = asyncio.run(main())
    assert text
    assert chunks[-1].choices[0].finish_reason
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=[{"role": "user", "content": "Say this is a test"}], max_tokens=5
    )
    assert raw.headers["x-request-id"]
    assert raw.parse().choices[0].message.role == "assistant"
