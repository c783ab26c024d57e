"""Answers under a schema or a regular expression, whatever the model would rather say."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 10},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["red", "green"]}, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}


def text_of(server, **more):
    body = {"model": "build", "prompt": "x = ", "max_tokens": 200} | more
    response = server.post("/v1/completions", body)
    assert response.status_code == 200, response.text
    (choice,) = response.json()["choices"]
    assert choice["finish_reason"] == "stop"
    return choice["text"]


@pytest.mark.parametrize("temperature", [0, 1, 3])
def test_answers_follow_the_schema(server, temperature):
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    for seed in range(3):
        text = text_of(server, response_format=form, temperature=temperature, seed=seed)
        jsonschema.validate(json.loads(text), PERSON)
    body = {
        "model": "build", "messages": [{"role": "user", "content": "x = "}], "max_tokens": 200,
        "response_format": form, "temperature": temperature, "seed": 5,
    }  # fmt: skip
    answer = server.post("/v1/chat/completions", body).json()
    jsonschema.validate(json.loads(answer["choices"][0]["message"]["content"]), PERSON)


@pytest.mark.parametrize("pattern", [r"[a-c]{3}-\d{2}", r"(yes|no)", r"é+\U0001F600?x"])
def test_answers_match_the_regex(server, pattern):
    pattern = pattern.replace(r"\U0001F600", "\U0001f600")
    for seed in range(3):
        text = text_of(server, structured_outputs={"regex": pattern}, seed=seed, temperature=2)
        assert re.fullmatch(pattern, text)


def test_any_object(server):
    form = {"type": "json_object"}
    assert isinstance(json.loads(text_of(server, response_format=form, temperature=0)), dict)


@pytest.mark.parametrize(
    "outputs",
    [
        {"grammar": "0"}, {"grammar": "start: ("}, {"grammar": "root ::= ("},
        {"grammar": 'a ::= "b"'}, {"grammar": "\n"}, {"choice": []},
        {"regex": "((("}, {"regex": ""}, {"json": {"type": "zebra"}}, {},
        {"json": {"$ref": "http://127.0.0.1:1/x"}}, {"json": {}, "regex": "a"},
        {"json": {"type": "string", "pattern": "("}}, {"json": {"enum": ["x" * 70_000]}},
    ],
    ids=range(14),
)  # fmt: skip
def test_what_cannot_be_followed_is_refused(server, outputs):
    body = {"model": "build", "prompt": "a", "max_tokens": 2, "structured_outputs": outputs}
    response = server.post("/v1/completions", body)
    assert response.status_code in (400, 422), response.text
    assert response.json()["error"]["type"] == "invalid_request_error"
    server.complete("a", max_tokens=1)


@pytest.mark.parametrize(
    "regex", ["(a|b|c){1,1000}" * 40, "((((a{1,99}){1,99}){1,99}){1,99}){1,99}"]
)
def test_a_vast_regex_is_served_or_refused_but_holds_nobody_up(server, regex):
    body = {
        "model": "build",
        "prompt": "a",
        "max_tokens": 2,
        "structured_outputs": {"regex": regex},
    }
    assert server.post("/v1/completions", body).status_code in (200, 400, 422)
    server.complete("a", max_tokens=1)


def test_constrained_and_free_answers_share_a_batch(server, model):
    """A constraint of one request changes nothing for another's."""
    free = server.complete("import os\n", max_tokens=30)
    assert free["choices"][0]["text"] == "".join(
        t.text for t in model.generate("import os\n", max_tokens=30)
    )


OLDER = {
    "structures": [{"begin": "<f=days>", "schema": {"type": "integer", "minimum": 0, "maximum": 99}, "end": "</f>"},
                   {"begin": "<f=on>", "schema": {"type": "boolean"}, "end": "</f>"}],
    "triggers": ["<f="],
}  # fmt: skip
NEWER = {
    "format": {
        "type": "triggered_tags",
        "triggers": OLDER["triggers"],
        "tags": [
            {"begin": t["begin"], "content": {"type": "json_schema", "json_schema": t["schema"]}, "end": t["end"]}
            for t in OLDER["structures"]
        ],
    }
}  # fmt: skip


@pytest.mark.parametrize("field", ["older", "newer", "text", "response_format"])
def test_structural_tags_keep_to_their_schemas(server, model, field):
    """A bias lets the model begin tags; within them only the schema counts."""
    body = {"prompt": "x", "max_tokens": 60, "temperature": 1.5, "ignore_eos": True}
    bias = {str(token): 12 for token in model.encode("<f=").tolist()}
    tags = {"older": OLDER, "newer": NEWER, "text": json.dumps(NEWER)}.get(field)
    form = {"response_format": {"type": "structural_tag"} | OLDER}
    body |= form if tags is None else {"structured_outputs": {"structural_tag": tags}}
    begun = whole = 0
    for seed in range(6):
        answer = server.post("/v1/completions", body | {"seed": seed, "logit_bias": bias})
        assert answer.status_code == 200, answer.text
        text = answer.json()["choices"][0]["text"]
        parts = text.split("<f=")[1:]
        begun += len(parts)
        whole += sum(
            bool(re.match(r"(days>[0-9]{1,2}|on>(true|false))</f>", part)) for part in parts
        )
        for part in parts[:-1]:
            assert re.match(r"(days>[0-9]{1,2}|on>(true|false))</f>", part), text
    assert begun >= whole > 3
    plain = server.post("/v1/completions", body | {"seed": 1}).json()["choices"][0]["text"]
    assert plain  # text without tags is free


@pytest.mark.parametrize(
    ("tag", "told"),
    [
        (5, "structural_tag: must be an object"),
        ("{", "structural_tag: the text is not JSON"),
        ({"structures": [], "triggers": ["<"]}, "structural_tag: structures: "),
        (OLDER | {"triggers": ["["]}, "structural_tag: no trigger begins"),
        ({"format": {"type": "sequence"}}, "only the type triggered_tags"),
    ],
)
def test_a_structural_tag_that_is_none_is_told(server, tag, told):
    body = {"prompt": "x", "structured_outputs": {"structural_tag": tag}}
    response = server.post("/v1/completions", body)
    assert (response.status_code, told in response.text) == (400, True), response.text
