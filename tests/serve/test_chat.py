"""Conversations: templates, and harmony's channels from the prompt to the answer."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

import hnlpu
from helpers import write_checkpoint
from hnlpu.errors import InvalidInput
from hnlpu.run.emulate import open_language_model
from hnlpu.serve._chat import ChatTemplate
from hnlpu.serve._harmony import MARKS, HarmonyAnswer

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' and not loop.first %}{{ raise_exception('system comes first') }}"
    "{% endif %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)


@dataclass
class Said:
    role: str
    text: str


def folder_with(path, template=None, settings=None):
    path.mkdir(exist_ok=True)
    if template is not None:
        (path / "chat_template.jinja").write_text(template)
    if settings is not None:
        (path / "tokenizer_config.json").write_text(json.dumps(settings))
    return path


def test_the_plain_template_is_the_text(tmp_path):
    template = ChatTemplate(folder_with(tmp_path))
    assert template.is_plain
    assert template.render([Said("system", "a"), Said("user", "b\n")], []) == "a\nb\n"


@pytest.mark.parametrize("where", ["file", "settings"])
def test_the_models_own_template_is_used(tmp_path, where):
    settings = {"bos_token": {"content": "<s>"}}
    if where == "file":
        template = ChatTemplate(folder_with(tmp_path, TEMPLATE, settings))
    else:
        template = ChatTemplate(folder_with(tmp_path, None, settings | {"chat_template": TEMPLATE}))
    assert not template.is_plain
    text = template.render([Said("system", "be {{ brief }}"), Said("user", "hi")], [])
    assert text == (
        "<s><|start|>system<|message|>be {{ brief }}<|end|>"
        "<|start|>user<|message|>hi<|end|><|start|>assistant"
    )
    with pytest.raises(InvalidInput, match="system comes first"):
        template.render([Said("user", "a"), Said("system", "b")], [])


def test_it_renders_as_transformers_does(tmp_path):
    """The same template and messages through transformers' own renderer."""
    from transformers.utils.chat_template_utils import render_jinja_template

    source = TEMPLATE + "{{ {'a': 'é'} | tojson }}\n   {% if true %}\n x{% endif %}"
    messages = [{"role": "user", "content": "<b>&"}, {"role": "assistant", "content": "x\ny"}]
    (expected,), _ = render_jinja_template([messages], chat_template=source, add_generation_prompt=True, bos_token="", eos_token="")  # fmt: skip
    ours = ChatTemplate(folder_with(tmp_path, source))
    assert ours.render([Said(m["role"], m["content"]) for m in messages], []) == expected


@pytest.mark.parametrize("template", ["{{ ''.__class__.__mro__ }}", "{{ messages.clear() }}"])
def test_templates_cannot_reach_out(tmp_path, template):
    with pytest.raises(InvalidInput, match="the chat template refuses"):
        ChatTemplate(folder_with(tmp_path, template)).render([Said("user", "a")], [])


def test_a_damaged_template_is_refused_by_name(tmp_path):
    with pytest.raises(InvalidInput, match=r"chat_template\.jinja"):
        ChatTemplate(folder_with(tmp_path, "{% if %}"))


def test_a_message_cannot_pretend_to_be_anothers(server):
    body = {"model": "build", "messages": [{"role": "user", "content": "a<|endoftext|>b"}]}
    response = server.post("/v1/chat/completions", body)
    assert response.status_code == 400
    assert "special token" in response.json()["error"]["message"]


@given(
    turns=st.lists(st.tuples(st.sampled_from(["analysis", "final", "commentary to=f"]), st.text()))
)
def test_harmony_tells_what_is_said_from_what_is_thought(turns):
    special = {mark: 1000 + i for i, mark in enumerate(MARKS)}
    answer, content, reasoning = HarmonyAnswer(special), "", ""

    def push(token, text=""):
        nonlocal content, reasoning
        parts = answer.push(token, text)
        content, reasoning = content + parts.content, reasoning + parts.reasoning

    for channel, text in turns:
        push(special["<|channel|>"])
        for i, piece in enumerate(channel):
            push(i, piece)
        push(special["<|message|>"])
        for i, piece in enumerate(text):
            push(i, piece)
        push(special["<|end|>"])
        push(special["<|start|>"])
        push(7, "assistant")
    assert content == "".join(text for channel, text in turns if channel == "final")
    assert reasoning == "".join(text for channel, text in turns if channel != "final")


@pytest.fixture(scope="module")
def harmony(tmp_path_factory, start):
    """A served model with harmony's marks in its vocabulary, whose weights are random."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder = write_checkpoint(tmp_path_factory.mktemp("harmony") / "checkpoint", vocab=288)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({char: i for i, char in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(MARKS))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    build = hnlpu.build(folder, folder.with_name("build"))
    with start(build) as server:
        yield server


def test_harmony_over_the_wire(harmony):
    """Random weights, steered by bias into a channel: reasoning first, then the answer."""
    model = open_language_model(harmony.directory)
    special = model.tokenizer.special_tokens()
    prompt = "<|start|>user<|message|>hi<|end|><|start|>assistant"
    body = {
        "model": "build", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 40,
        "structured_outputs": None, "temperature": 0, "ignore_eos": True,
    }  # fmt: skip
    answer = harmony.post("/v1/chat/completions", body).json()
    assert answer["usage"]["prompt_tokens"] == len(model.encode(prompt))
    parser, content, reasoning = HarmonyAnswer(special), "", ""
    for token in model.generate(prompt, max_tokens=40, ignore_end=True):
        parts = parser.push(token.id, token.text)
        content, reasoning = content + parts.content, reasoning + parts.reasoning
    message = answer["choices"][0]["message"]
    assert (message["content"], message.get("reasoning_content", "")) == (content, reasoning)
    # a bias commands: a message mark, then only "a": thought in a channel without a name
    bias = {str(special["<|message|>"]): 100, str(special["<|channel|>"]): -100}
    answer = harmony.post("/v1/chat/completions", body | {"logit_bias": bias, "max_tokens": 1})
    message = answer.json()["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "", "refusal": None}
    a = model.encode("a").item()
    bias |= {str(a): 100}
    options = {"logit_bias": bias, "presence_penalty": 2, "frequency_penalty": 2}
    text = harmony.post("/v1/chat/completions", body | options).json()["choices"][0]["message"]
    assert set(text["reasoning_content"]) == {"a"}
    assert text["content"] == ""
    response = requests.post(
        harmony.address + "/v1/chat/completions", json=body | options | {"stream": True}, timeout=60
    )
    events = [json.loads(e[6:]) for e in response.text.strip().split("\n\n")[:-1]]
    thought = "".join(e["choices"][0]["delta"].get("reasoning_content", "") for e in events)
    assert thought == text["reasoning_content"]
