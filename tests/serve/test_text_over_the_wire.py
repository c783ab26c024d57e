"""Text over the wire: offsets count its characters, bytes are the tokens' own, nothing raises."""

from __future__ import annotations

import codecs
import json
import threading

import pytest

import hnlpu
from helpers import write_checkpoint

SPACE = "\u2581"
ENDLESS = {"ignore_eos": True, "temperature": 0}


@pytest.fixture(scope="module")
def bytes_model(tmp_path_factory, start):
    """A served model with SentencePiece's byte fallback, whose random weights say any bytes."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

    folder = write_checkpoint(tmp_path_factory.mktemp("bytes") / "checkpoint", vocab=288)
    names = ["<unk>", "<s>", SPACE, *map(chr, range(97, 123)), f"{SPACE}the"]
    names += [f"<0x{byte:02X}>" for byte in range(256)]
    made = Tokenizer(
        models.BPE(
            {n: i for i, n in enumerate(names[:288])}, [], unk_token="<unk>", byte_fallback=True
        )
    )
    made.add_special_tokens([AddedToken("<s>", special=True), AddedToken("<unk>", special=True)])
    parts = [normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)]
    made.normalizer = normalizers.Sequence(parts)
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    made.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)])
    made.save(str(folder / "tokenizer.json"))
    with start(hnlpu.build(folder, folder.with_name("build"))) as server:
        yield server


def chat_bytes(server, **more):
    body = {
        "messages": [{"role": "user", "content": "the cat"}],
        "logprobs": True,
        "top_logprobs": 3,
    }
    response = server.post(
        "/v1/chat/completions", body | {"max_tokens": 60, "ignore_eos": True} | more
    )
    assert response.status_code == 200, response.text
    return response


@pytest.mark.parametrize("seed", range(3))
def test_any_bytes_are_told_as_they_are(bytes_model, seed):
    (choice,) = chat_bytes(bytes_model, temperature=8, seed=seed).json()["choices"]
    utf8 = codecs.getincrementaldecoder("utf-8")("replace")
    entries = [e for e in choice["logprobs"]["content"] if e["token"] not in ("<s>", "<unk>")]
    raw = b"".join(bytes(e["bytes"] or ()) for e in entries)
    assert choice["message"]["content"] == utf8.decode(raw)
    for entry in entries:
        if entry["bytes"]:
            name = bytes(entry["bytes"]).decode("utf-8", "replace")
            assert entry["token"] == name or entry["token"].startswith("token_id:")


@pytest.mark.parametrize("echo", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_offsets_count_characters_of_the_text(bytes_model, server, echo, stream):
    for model, prompt in ((bytes_model, "the é €"), (server, "x = 'é€🙂'"), (server, [5, 200, 9])):
        body = {"prompt": prompt, "max_tokens": 40, "temperature": 5, "seed": 2, "logprobs": 2,
                "echo": echo, "stream": stream, "ignore_eos": True}  # fmt: skip
        response = model.post("/v1/completions", body)
        events = response.text.strip().split("\n\n")[:-1] if stream else ["data: " + response.text]
        choices = [json.loads(event[6:])["choices"][0] for event in events]
        text = "".join(choice["text"] for choice in choices)
        tokens = [t for c in choices for t in c["logprobs"]["tokens"]]
        offsets = [o for c in choices for o in c["logprobs"]["text_offset"]]
        assert offsets == sorted(offsets)
        assert len(offsets) == len(tokens)
        for at, token in zip(offsets, tokens, strict=True):
            special = token in ("<s>", "<unk>", "<|endoftext|>", "<|pad|>")
            if not token.startswith("token_id:") and not special and len(text) - at >= len(token):
                # the tokenizer puts a space before a text's first word
                shown = token.lstrip() if echo and at == 0 else token
                assert text[at:].startswith(shown)


def test_top_tokens_have_names_of_their_own(bytes_model):
    """Token `a` and the byte of `a` are two."""
    body = {"prompt": "the", "max_tokens": 8, "temperature": 0, "logprobs": 20, "ignore_eos": True}
    logprobs = bytes_model.post("/v1/completions", body).json()["choices"][0]["logprobs"]
    assert all(len(best) >= 20 for best in logprobs["top_logprobs"])


def test_a_word_after_the_prompt_keeps_its_space(bytes_model):
    (the,) = bytes_model.post("/tokenize", {"prompt": "the"}).json()["tokens"][:1]
    body = {"prompt": "a", "max_tokens": 2, "allowed_token_ids": [the], **ENDLESS}
    text = bytes_model.post("/v1/completions", body).json()["choices"][0]["text"]
    assert text[:1] == " "


def test_one_requests_bytes_are_no_others_trouble(bytes_model):
    calm = {"prompt": "the cat", "max_tokens": 60, **ENDLESS}
    alone = bytes_model.post("/v1/completions", calm).json()["choices"][0]["text"]
    found = []

    def ask(body):
        found.append(bytes_model.post("/v1/completions", body))

    wild = [calm | {"temperature": 8, "seed": seed} for seed in range(4)]
    threads = [threading.Thread(target=ask, args=(body,)) for body in (calm, *wild, calm)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [response.status_code for response in found] == [200] * 6
    assert sum(r.json()["choices"][0]["text"] == alone for r in found) >= 2


def test_special_tokens_are_shown_on_demand(server):
    body = {"prompt": "x", "max_tokens": 3, "allowed_token_ids": [0], **ENDLESS}
    text = server.post("/v1/completions", body).json()["choices"][0]["text"]
    shown = server.post("/v1/completions", body | {"skip_special_tokens": False})
    assert (text, shown.json()["choices"][0]["text"]) == ("", "<|endoftext|>" * 3)
