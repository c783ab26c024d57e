"""Tokenizers in GGUF files: the tokens of the library that each kind comes from."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import sentencepiece
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

import hnlpu
from gguf_samples import CONFIGS
from hnlpu.model.checkpoint.gguf._splits import SPLITS
from hnlpu.model.checkpoint.gguf._tokenizer import tokenizer_files

SOURCE = Path(__file__).parents[3] / "src/hnlpu/model/checkpoint"
LINES = [
    line for file in sorted(SOURCE.glob("*.py")) for line in file.read_text("utf-8").splitlines()
]
TEXTS = [
    "", " ", "a", "  two  spaces   three", "def f(x):\n\treturn x ** 2\n\n\n", "I'll say it's 12345.67",
    "Grüße, мир! 你好，世界。 \U0001f600\u200d\U0001f525", "<|end|>inside<|end|> <think>plain",
    " leading and trailing ", "\u2581 literal", "CamelCaseWORDS don't", "\r\n mixed\r ends\n",
    *LINES[:40],
]  # fmt: skip
SPECIAL = ["<|end|>", "<|start|>"]
TYPES = {"control": 3, "user": 4}


def test_cuts_are_those_of_transformers() -> None:
    shared = SPLITS.keys() & GGUF_PRE_TOKENIZER_SPLITS.keys()
    assert len(shared) >= 6
    for name in shared:
        assert SPLITS[name] == (GGUF_PRE_TOKENIZER_SPLITS[name],)


@pytest.mark.parametrize("split", ["default", "smollm", "llama-bpe", "qwen2", "gpt-4o", "tekken"])
def test_byte_level(split: str) -> None:
    """Merges that the library learns between its own cuts give its own tokens again."""
    cuts: list[Any] = [
        pre_tokenizers.Split(Regex(cut), behavior="isolated") for cut in SPLITS[split]
    ]
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split == "default")
    if split == "default":
        cuts = []  # the library has GPT-2's own
    theirs = Tokenizer(models.BPE(ignore_merges=split in ("llama-bpe", "tekken")))
    theirs.pre_tokenizer = pre_tokenizers.Sequence([*cuts, level])
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=SPECIAL, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    theirs.train_from_iterator(LINES, trainer)
    theirs.add_tokens(["<think>"])
    ours = Tokenizer.from_str(made_of(theirs, split)["tokenizer.json"])
    for text in TEXTS:
        if split == "qwen2":
            import unicodedata

            text = unicodedata.normalize("NFC", text)
        found = ours.encode(text, add_special_tokens=False).ids
        assert found == theirs.encode(text, add_special_tokens=False).ids, text
        assert ours.decode(found, skip_special_tokens=False).replace("\ufffd", "") == text.replace(
            "\ufffd", ""
        )


def made_of(theirs: Tokenizer, split: str) -> dict[str, str]:
    return tokenizer_files(metadata_of(theirs, split))[0]


def metadata_of(theirs: Tokenizer, split: str) -> dict[str, Any]:
    """As llama.cpp's converter writes a byte-level tokenizer."""
    vocab = sorted(theirs.get_vocab().items(), key=lambda item: item[1])
    kinds = [TYPES["control" if n in SPECIAL else "user"] if n in (*SPECIAL, "<think>") else 1
             for n, _ in vocab]  # fmt: skip
    merges = [" ".join(pair) for pair in json.loads(theirs.to_str())["model"]["merges"]]
    return {
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": split,
        "tokenizer.ggml.tokens": [name for name, _ in vocab], "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": merges, "tokenizer.ggml.eos_token_id": 0,
        "tokenizer.ggml.eot_token_id": 1, "tokenizer.chat_template": "{{ messages }}",
        "tokenizer.chat_template.tool_use": "{{ tools }}",
    }  # fmt: skip


@pytest.mark.parametrize("prefix", [True, False])
def test_sentencepiece(prefix: bool) -> None:
    """Pieces and scores alone make the merges: the tokens are SentencePiece's own."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=model, model_type="bpe", vocab_size=900,
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        add_dummy_prefix=prefix, user_defined_symbols=["<think>"], num_threads=1,
        control_symbols=["<|end|>"], minloglevel=2, character_coverage=0.9999,
        allow_whitespace_only_pieces=True, split_digits=True,
    )  # fmt: skip
    theirs = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    count = theirs.get_piece_size()
    kinds = [
        2 if theirs.is_unknown(n) else 3 if theirs.is_control(n) else 6 if theirs.is_byte(n)
        else 4 if theirs.id_to_piece(n) == "<think>" else 1
        for n in range(count)
    ]  # fmt: skip
    metadata = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [theirs.id_to_piece(n) for n in range(count)],
        "tokenizer.ggml.scores": [theirs.get_score(n) for n in range(count)],
        "tokenizer.ggml.token_type": kinds, "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_space_prefix": prefix,
    }  # fmt: skip
    files, notes = tokenizer_files(metadata)
    assert notes == ()
    ours = Tokenizer.from_str(files["tokenizer.json"])
    for text in TEXTS:
        if "<" in text or not text:  # marks of control are text to SentencePiece, tokens to us
            continue
        found = ours.encode(text, add_special_tokens=False).ids
        assert found == theirs.encode(text), text
        assert ours.decode(found) == theirs.decode(found)


def test_settings_beside_the_tokenizer(tmp_path: Path) -> None:
    theirs = Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
    theirs.train_from_iterator(LINES[:200], trainer)
    files = made_of(theirs, "default")
    assert json.loads(files["generation_config.json"]) == {"eos_token_id": [0, 1]}
    assert json.loads(files["tokenizer_config.json"])["eos_token"] == "<|end|>"
    assert files["chat_template.jinja"] == "{{ messages }}"
    assert files["additional_chat_templates/tool_use.jinja"] == "{{ tools }}"
    for changes, words in (
        ({"tokenizer.ggml.pre": "unheard-of"}, "'unheard-of' is not read"),
        ({"tokenizer.ggml.model": "rwkv"}, "'rwkv'"),
        ({"tokenizer.ggml.tokens": None}, "no tokens"),
    ):
        changed, (note,) = tokenizer_files(metadata_of(theirs, "default") | changes)
        assert "tokenizer.json" not in changed
        assert words in note
    whole = {"tokenizer.huggingface.json": theirs.to_str()}
    assert tokenizer_files(whole)[0]["tokenizer.json"] == theirs.to_str()


@pytest.mark.parametrize(
    ("says", "begins", "ends"),
    [
        ({}, False, False),
        ({"tokenizer.ggml.add_bos_token": True}, True, False),
        ({"tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.add_eos_token": True}, True, True),
        ({"tokenizer.ggml.pre": "llama-bpe"}, True, False),  # llama.cpp's own rule for this cut
        ({"tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.add_bos_token": False}, False, False),
        ({"tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.bos_token_id": 9999}, False, False),
    ],
)
def test_what_a_text_begins_and_ends_with(says: dict[str, Any], begins: bool, ends: bool) -> None:
    theirs = Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
    theirs.train_from_iterator(LINES[:100], trainer)
    metadata = metadata_of(theirs, "default") | {"tokenizer.ggml.bos_token_id": 1} | says
    ours = Tokenizer.from_str(tokenizer_files(metadata)[0]["tokenizer.json"])
    inside = ours.encode("def f", add_special_tokens=False).ids
    assert ours.encode("def f").ids == [1] * begins + inside + [0] * ends


def test_a_file_talks(tmp_path: Path, cli: Any) -> None:
    """From a file with a tokenizer to text: float, built, and with its end tokens."""
    theirs = Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
    theirs.train_from_iterator(LINES[:100], trainer)
    vocab = theirs.get_vocab_size()
    path = tmp_path / "m.gguf"
    config = CONFIGS["llama"] | {"vocab_size": vocab, "hidden_size": 64, "head_dim": 8}
    _tiny(path, config, metadata_of(theirs, "default"))
    code, said, _ = cli("generate", path, "--prompt", "def f", "--max-tokens", 5, "--json")
    assert code == 0
    build = hnlpu.build(path, tmp_path / "b")
    assert (build / "tokenizer.json").is_file()
    assert (build / "chat_template.jinja").read_text() == "{{ messages }}"
    assert (build / "tool_use.jinja").read_text() == "{{ tools }}"
    model = hnlpu.open(build)
    assert model.encode("def f(x):").tolist() == theirs.encode("def f(x):").ids
    assert model.end_tokens[:2] == (0, 1)
    assert json.loads(said)["tokens"]
    assert hnlpu.verify(build, path).passed
    code, _, _ = cli("draw", path, "-o", tmp_path / "m.svg")
    assert code == 0
    assert "residual stream" in (tmp_path / "m.svg").read_text()


def _tiny(path: Path, config: dict[str, Any], metadata: dict[str, Any]) -> None:
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    width = config["hidden_size"]
    for key, value in (
        ("context_length", 64), ("embedding_length", width), ("block_count", 1),
        ("feed_forward_length", 32), ("attention.head_count", 8), ("attention.head_count_kv", 4),
    ):  # fmt: skip
        writer.add_uint32(f"llama.{key}", value)
    writer.add_layer_norm_rms_eps(1e-5)
    for key, value in metadata.items():
        if isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_uint32(key, value)
    shapes = {
        "token_embd.weight": (config["vocab_size"], width), "output_norm.weight": (width,),
        "blk.0.attn_norm.weight": (width,), "blk.0.ffn_norm.weight": (width,),
        "blk.0.attn_q.weight": (64, width), "blk.0.attn_k.weight": (32, width),
        "blk.0.attn_v.weight": (32, width), "blk.0.attn_output.weight": (width, 64),
        "blk.0.ffn_gate.weight": (32, width), "blk.0.ffn_up.weight": (32, width),
        "blk.0.ffn_down.weight": (width, 32),
    }  # fmt: skip
    for name, shape in shapes.items():
        values = random.normal(1.0 if len(shape) == 1 else 0.0, 0.2, shape).astype(np.float32)
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
