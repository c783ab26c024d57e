"""Hooks of mkdocs: the repository's pages and pictures, at the repository's own paths.

    README.md               ─► index.html
    docs/masks.md           ─► docs/masks.html
    docs/images/tile.png    ─► docs/images/tile.png

Links between pages then lead to the same place here and in the repository, with anchors as GitHub makes them.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PAGES = ("*.md", "docs/*.md", "checkpoints/*/*.md", "studies/*.md", "studies/*/*.md")
PICTURES = ("docs/images/*",)


def anchor(heading: str, separator: str) -> str:
    """The anchor that GitHub gives a heading: letters, digits, `_` and hyphens; a hyphen per space."""
    text = unicodedata.normalize("NFC", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", separator)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.mdx_configs["toc"] = {**config.mdx_configs.get("toc", {}), "slugify": anchor}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The theme's own files stay; those of docs/ come back under their paths in the repository."""
    root = Path(config.config_file_path).parent
    ours = [path for pattern in (*PAGES, *PICTURES) for path in sorted(root.glob(pattern))]
    return Files(
        [file for file in files if file.src_dir != config.docs_dir]
        + [
            File.generated(config, path.relative_to(root).as_posix(), abs_src_path=str(path))
            for path in ours
        ]
    )
