"""A local path or a Hub id -> a folder with the checkpoint's files."""

from __future__ import annotations

import re
from pathlib import Path

from hnlpu._paths import absolute
from hnlpu.errors import CheckpointNotFound

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_PATTERNS = ["config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json",
             "tokenizer*", "special_tokens_map.json", "chat_template.jinja",
             "additional_chat_templates/*.jinja"]  # fmt: skip


def is_hub_id(text: str) -> bool:
    """Whether a text has the form owner/name of a Hub id."""
    return _HUB_ID.fullmatch(text) is not None


def locate_config(hub_id: str) -> Path:
    """Folder of the Hub's config.json of that id, fetched alone; raises CheckpointNotFound."""
    return _fetch(hub_id, None, ["config.json"])


def locate(checkpoint: str | Path, revision: str | None = None) -> Path:
    """Folder of `checkpoint`: itself when it exists, else the Hub's snapshot of that id.

    `revision` pins a branch, tag or commit of the Hub repository.  Offline
    mode (HF_HUB_OFFLINE=1) uses what the Hub cache holds.  Raises
    CheckpointNotFound.
    """
    path = absolute(checkpoint)
    if path.exists():
        if revision is not None:
            raise CheckpointNotFound(
                f"{checkpoint}: a local folder has no revision; drop `revision`"
            )
        return path
    if not _HUB_ID.fullmatch(str(checkpoint)):
        raise CheckpointNotFound(
            f"{checkpoint}: no such folder, and not a Hub id of the form owner/name"
        )
    return _fetch(str(checkpoint), revision, _PATTERNS)


def _fetch(hub_id: str, revision: str | None, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        # gpt-oss repositories also hold the same weights in two other layouts, in subfolders
        found = snapshot_download(
            hub_id, revision=revision, allow_patterns=patterns, ignore_patterns=["*/*"]
        )
    except Exception as error:  # the client's own, and those of whichever HTTP library it uses
        first_line = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise CheckpointNotFound(
            f"{hub_id}: no such folder here, and the Hub did not give it ({first_line})"
        ) from None
    return Path(found)
