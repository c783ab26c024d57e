"""GGUF, llama.cpp's format: one file (or a split) -> config, tokenizer and tensors.

model.gguf ─► metadata ─► config.json, tokenizer.json, chat templates   (as files, for who reads them)
└─► tensors  ─► by the names that families know, decoded a few rows at a time
"""

from __future__ import annotations

import atexit
import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hnlpu.model.checkpoint._part import Stored
from hnlpu.model.checkpoint.gguf._blocks import BLOCKS
from hnlpu.model.checkpoint.gguf._config import MODEL_TYPES, config_of
from hnlpu.model.checkpoint.gguf._file import read_gguf
from hnlpu.model.checkpoint.gguf._tensors import named_tensors
from hnlpu.model.checkpoint.gguf._tokenizer import tokenizer_files

__all__ = ["BLOCKS", "MODEL_TYPES", "GgufModel", "open_gguf"]


@dataclass(frozen=True)
class GgufModel:
    """A model in a file: config.json's values, tensors, files, the folder of what the file says."""

    config: dict[str, Any]
    tensors: dict[str, Stored]
    files: tuple[Path, ...]
    settings: Path
    notes: tuple[str, ...]


def open_gguf(path: Path) -> GgufModel:
    """Read the header of a GGUF file; `settings` is a folder that goes when the program ends.

    Raises DamagedCheckpoint, UnsupportedArchitecture or InvalidConfig.
    """
    gguf = read_gguf(path)
    config = config_of(gguf)
    files, notes = tokenizer_files(gguf.metadata)
    files["config.json"] = json.dumps(config, indent=1)
    folder = TemporaryDirectory(prefix="hnlpu-gguf-", ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    for name, text in files.items():
        target = Path(folder.name) / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(text.encode("utf-8", "surrogateescape"))
    return GgufModel(config, named_tensors(gguf, config), gguf.files, Path(folder.name), notes)
