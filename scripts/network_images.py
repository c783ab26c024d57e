"""The pictures of docs/networks.md, drawn by the package from the configs of its tables.

python scripts/network_images.py          writes them
"""

from __future__ import annotations

from network_tables import MODELS

from hnlpu.insight.diagram import draw
from hnlpu.model.families import network_of

FILES = {"network-gpt-oss-20b.svg": "gpt-oss-20b", "network-mamba-2-130m.svg": "Mamba-2 130M"}


def pictures() -> dict[str, str]:
    """The files by their names."""
    return {
        file: draw(network_of(MODELS[model]), model, embed=False) for file, model in FILES.items()
    }


if __name__ == "__main__":
    from network_tables import PAGE

    for name, text in pictures().items():
        (PAGE.parent / "images" / name).write_text(text, "utf-8")
