"""A local path or a Hub id -> a folder with the checkpoint's files."""

from __future__ import annotations

import re
from pathlib import Path

from hnlpu._paths import absolute
from hnlpu.errors import CheckpointNotFound

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HUB_GGUF = re.compile(rf"({_HUB_ID.pattern})/((?:[\w.-]+/)*[\w.-]+\.gguf)")
_PART = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")
_PATTERNS = ["config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json",
             "tokenizer*", "special_tokens_map.json", "chat_template.jinja",
             "additional_chat_templates/*.jinja"]  # fmt: skip


def is_hub_id(text: str) -> bool:
    """Whether a text has the form owner/name of a Hub id."""
    return _HUB_ID.fullmatch(text) is not None


def locate_config(hub_id: str) -> Path:
    """Folder of the Hub's config.json of that id, fetched alone; raises CheckpointNotFound."""
    return _fetched(hub_id, hub_id, None, ["config.json"], ["*/*"])


def locate(checkpoint: str | Path, revision: str | None = None) -> Path:
    """Folder of `checkpoint`: itself when it exists, else the Hub's snapshot of that id.

    `revision` pins a branch, tag or commit of the Hub repository.  Offline
    mode (HF_HUB_OFFLINE=1) uses what the Hub cache holds.  `owner/name/FILE.gguf` is one file of a
    repository, or all parts of a split.  Raises CheckpointNotFound.
    """
    path = absolute(checkpoint)
    if path.exists():
        if revision is not None:
            raise CheckpointNotFound(
                f"{checkpoint}: a local folder has no revision; drop `revision`"
            )
        return path
    file = _HUB_GGUF.fullmatch(str(checkpoint))
    if file is None and not _HUB_ID.fullmatch(str(checkpoint)):
        raise CheckpointNotFound(
            f"{checkpoint}: no such folder, and not a Hub id of the form owner/name or "
            "owner/name/FILE.gguf"
        )
    if file is not None:
        parts = _PART.sub(r"-*-of-\1.gguf", file[2])
        return _fetched(checkpoint, file[1], revision, [parts], []) / file[2]
    # gpt-oss repositories also hold the same weights in two other layouts, in subfolders
    return _fetched(checkpoint, str(checkpoint), revision, _PATTERNS, ["*/*"])


def _fetched(
    checkpoint: str | Path, repository: str, revision: str | None, wanted: list[str],
    ignored: list[str],
) -> Path:  # fmt: skip
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(
            repository, revision=revision, allow_patterns=wanted, ignore_patterns=ignored
        )
    except Exception as error:  # the client's own, and those of whichever HTTP library it uses
        first_line = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise CheckpointNotFound(
            f"{checkpoint}: no such folder here, and the Hub did not give it ({first_line})"
        ) from None
    return Path(found)
