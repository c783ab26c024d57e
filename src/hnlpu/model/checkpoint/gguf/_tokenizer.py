"""The vocabulary in a GGUF file -> tokenizer.json and the files beside it.

    tokens, merges, kinds of tokens ─► byte-level BPE       (kind "gpt2": Llama 3, Qwen, gpt-oss ...)
    tokens, scores, kinds of tokens ─► BPE over pieces with bytes for what has none
                                       (kind "llama": SentencePiece of Llama 2, Mistral, Gemma)

A whole tokenizer.json in the metadata is taken as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hnlpu.model.checkpoint.gguf._splits import SPLITS

NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4
SPACE = "\u2581"
Metadata = Mapping[str, Any]
_ENDS = ("eos_token_id", "eot_token_id", "eom_token_id")
_WHOLE_WORDS_FIRST = ("llama3", "llama-v3", "llama-bpe", "tekken")
"""Vocabularies in which a word that is a token is one, whatever the merges say."""
_COMPOSED = ("qwen2", "deepseek-r1-qwen")
"""Vocabularies over text in Unicode's composed form."""


def tokenizer_files(metadata: Metadata) -> tuple[dict[str, str], tuple[str, ...]]:
    """Files of a checkpoint's folder by name, and notes on what could not be made."""
    files: dict[str, str] = {}
    tokenizer, notes = _tokenizer(metadata)
    if tokenizer is not None:
        files["tokenizer.json"] = tokenizer
    files["tokenizer_config.json"] = json.dumps(_settings(metadata), indent=1)
    ends = [metadata[f"tokenizer.ggml.{key}"] for key in _ENDS if _is_id(metadata, key)]
    if ends:
        files["generation_config.json"] = json.dumps({"eos_token_id": list(dict.fromkeys(ends))})
    for key, value in metadata.items():
        if key == "tokenizer.chat_template" and isinstance(value, str):
            files["chat_template.jinja"] = value
        elif key.startswith("tokenizer.chat_template.") and isinstance(value, str):
            name = "".join(c for c in key.rpartition(".")[2] if c.isalnum() or c in "-_")
            files[f"additional_chat_templates/{name}.jinja"] = value
    return files, notes


def _is_id(metadata: Metadata, key: str) -> bool:
    value = metadata.get(f"tokenizer.ggml.{key}")
    return type(value) is int and 0 <= value < len(metadata.get("tokenizer.ggml.tokens") or ())


def _settings(metadata: Metadata) -> dict[str, Any]:
    tokens = metadata.get("tokenizer.ggml.tokens") or ()
    found: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    for name, key in (
        ("bos_token", "bos_token_id"), ("eos_token", "eos_token_id"),
        ("unk_token", "unknown_token_id"), ("pad_token", "padding_token_id"),
    ):  # fmt: skip
        if _is_id(metadata, key):
            found[name] = tokens[metadata[f"tokenizer.ggml.{key}"]]
    return found


def _tokenizer(metadata: Metadata) -> tuple[str | None, tuple[str, ...]]:
    whole = metadata.get("tokenizer.huggingface.json")
    if isinstance(whole, str):
        return whole, ()
    kind = metadata.get("tokenizer.ggml.model")
    split = metadata.get("tokenizer.ggml.pre", "default")
    tokens = metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        return None, ("the file has no tokens: text is not read, only token ids",)
    found = None
    if kind == "gpt2" and split in SPLITS:
        found = _byte_level(metadata, tokens, str(split))
    elif kind == "llama":
        found = _pieces(metadata, tokens)
    if found is not None:
        found["post_processor"] = _around(metadata, tokens)
        return json.dumps(found, ensure_ascii=False), ()
    what = f"tokenizer.ggml.model {kind!r} with tokenizer.ggml.pre {split!r}"
    return None, (
        f"{what} is not read: text is not, only token ids; put tokenizer.json of the model beside "
        "a build of it",
    )


def _added(metadata: Metadata, tokens: list[str]) -> list[dict[str, Any]]:
    """Tokens that are met whole in a text: those of control, and those of users."""
    kinds = metadata.get("tokenizer.ggml.token_type") or [NORMAL] * len(tokens)
    return [
        {
            "id": number, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": kind in (CONTROL, UNKNOWN),
        }
        for number, (token, kind) in enumerate(zip(tokens, kinds, strict=False))
        if kind in (CONTROL, USER_DEFINED, UNKNOWN) and token
    ]  # fmt: skip


def _around(metadata: Metadata, tokens: list[str]) -> dict[str, Any] | None:
    """The special tokens that a text begins and ends with; where the file is silent, as llama.cpp has it."""
    begins = metadata.get("tokenizer.ggml.model") == "llama" or (
        metadata.get("tokenizer.ggml.pre") in ("llama3", "llama-v3", "llama-bpe")
    )
    names: list[str | None] = []
    for end, silent in (("bos", begins), ("eos", False)):
        told = metadata.get(f"tokenizer.ggml.add_{end}_token")
        wanted = _is_id(metadata, f"{end}_token_id") and (
            told if isinstance(told, bool) else silent
        )
        names.append(tokens[metadata[f"tokenizer.ggml.{end}_token_id"]] if wanted else None)
    if names == [None, None]:
        return None
    text, second = ({"Sequence": {"id": of, "type_id": n}} for n, of in enumerate("AB"))
    before, behind = (
        [{"SpecialToken": {"id": name, "type_id": 0}}] if name else [] for name in names
    )
    special = {
        name: {"id": name, "ids": [tokens.index(name)], "tokens": [name]} for name in names if name
    }
    single = [*before, text, *behind]
    return {
        "type": "TemplateProcessing", "single": single, "pair": [*single, second],
        "special_tokens": special,
    }  # fmt: skip


def _file(
    model: dict[str, Any], added: list[dict[str, Any]], normalizer: Any, before: Any, decoder: Any
) -> dict[str, Any]:
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": normalizer, "pre_tokenizer": before, "post_processor": None,
        "decoder": decoder,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
            "ignore_merges": False, **model,
        },
    }  # fmt: skip


def _byte_level(metadata: Metadata, tokens: list[str], split: str) -> dict[str, Any]:
    """BPE over bytes, each written as a printable character, as GPT-2 does."""
    merges = metadata.get("tokenizer.ggml.merges") or []
    model = {
        "vocab": {token: number for number, token in enumerate(tokens)},
        "merges": [merge.split(" ", 1) for merge in merges],
        "ignore_merges": split in _WHOLE_WORDS_FIRST,
    }
    level = {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False,
    }  # fmt: skip
    cuts = [
        {"type": "Split", "pattern": {"Regex": cut}, "behavior": "Isolated", "invert": False}
        for cut in SPLITS[split]
    ]
    before: dict[str, Any] = {"type": "Sequence", "pretokenizers": [*cuts, level]}
    normalizer = {"type": "NFC"} if split in _COMPOSED else None
    return _file(model, _added(metadata, tokens), normalizer, before, level | {"use_regex": True})


def _pieces(metadata: Metadata, tokens: list[str]) -> dict[str, Any]:
    """BPE over characters, a space written as U+2581; what has no token becomes its bytes."""
    gemma = str(metadata.get("general.architecture", "")).startswith("gemma")
    if gemma:  # runs of spaces are stored as spaces
        tokens = [SPACE * len(t) if t.strip(" ") == "" and t else t for t in tokens]
    vocab = {token: number for number, token in enumerate(tokens)}
    scores = metadata.get("tokenizer.ggml.scores") or []
    # Gemma's scores do not order its merges, its tokens' order does
    order = [-float(n) for n in range(len(tokens))] if gemma else scores
    unknown = int(metadata.get("tokenizer.ggml.unknown_token_id") or 0)
    model = {
        "vocab": vocab,
        "merges": _merges(tokens, vocab, order),
        "byte_fallback": True,
        "fuse_unk": True,
        "unk_token": tokens[unknown] if _is_id(metadata, "unknown_token_id") else None,
    }
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    prefix = metadata.get("tokenizer.ggml.add_space_prefix", not gemma)
    normalizer: Any = replace
    decoders: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"}, {"type": "Fuse"},
    ]  # fmt: skip
    if prefix:
        first = {"type": "Prepend", "prepend": SPACE}
        normalizer = {"type": "Sequence", "normalizers": [first, replace]}
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    decoder = {"type": "Sequence", "decoders": decoders}
    return _file(model, _added(metadata, tokens), normalizer, None, decoder)


def _merges(tokens: list[str], vocab: dict[str, int], scores: list[float]) -> list[list[str]]:
    """Every way to make a token of two, the best token's first, as SentencePiece joins them."""
    found: list[tuple[float, int, int, str, str]] = []
    for number, token in enumerate(tokens):
        score = scores[number] if number < len(scores) else 0.0
        for cut in range(1, len(token)):
            left, right = vocab.get(token[:cut]), vocab.get(token[cut:])
            if left is not None and right is not None:
                found.append((-score, left, right, token[:cut], token[cut:]))
    found.sort(key=lambda merge: merge[:3])
    return [[left, right] for *_, left, right in found]
