"""Two builds of one checkpoint -> any mixture of them, matrix by matrix, and its perplexity.

    finest build ──┐
                   ├──► names in the coarser format ──► a `Build` of both ──► the emulator ──► perplexity
    coarser build ─┘

Nothing is copied: a mixture names tensors of both folders.  What it computes are the integers of the build
that has these formats, as every digit of a matrix is in one of the two.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hnlpu._whole import append_line
from hnlpu.run.emulate import hardwired
from hnlpu.silicon.hardwire import Build
from hnlpu.silicon.place import array_area_mm2


def mixture(finest: Build, coarser: Build, names: Iterable[str]) -> Build:
    """The `finest` build with the matrices `names` as the `coarser` one has them."""
    chosen = set(names)
    records = {
        name: (coarser if name in chosen else finest).manifest.matrices[name]
        for name in finest.manifest.matrices
    }
    tensors = {
        **{n: t for n, t in finest.tensors.items() if _matrix(n) not in chosen},
        **{n: t for n, t in coarser.tensors.items() if _matrix(n) in chosen},
    }
    manifest = finest.manifest.model_copy(update={"matrices": records})
    return replace(finest, manifest=manifest, tensors=tensors)


def _matrix(tensor: str) -> str:
    """The matrix that a tensor of a build belongs to, if to any."""
    for ending in (".row_exponents", ".bias"):
        if tensor.endswith(ending):
            return tensor.removesuffix(ending)
    stem, _, kind = tensor.rpartition(".")
    return stem.rpartition(".")[0] if kind in ("codes", "exponents") else ""


def areas_mm2(build: Build) -> dict[str, float]:
    """Area of the arrays of each matrix, on all chips of the build's placement."""
    placement, technology = build.manifest.placement, build.manifest.technology
    return {
        placed.name: sum(
            array_area_mm2(placement.model_copy(update={"matrices": (placed,)}), technology)
        )
        for placed in placement.matrices
    }


@dataclass
class Scores:
    """Perplexities of a text under mixtures, kept in a file so that none is measured twice."""

    finest: Build
    coarser: Build
    text: str | Sequence[int]
    path: Path
    known: dict[str, float]

    @classmethod
    def at(cls, path: Path, finest: Build, coarser: Build, text: str | Sequence[int]) -> Scores:
        """What an earlier run measured of the same builds and the same text, if anything."""
        return cls(finest, coarser, text, path, dict(_lines(path)))

    def perplexity(self, names: Iterable[str]) -> float:
        """Of the mixture with `names` in the coarser format; measured now, or known from before."""
        key = self._key(names)
        if key not in self.known:
            model = hardwired(mixture(self.finest, self.coarser, names))
            self.known[key] = model.score(self.text).perplexity
            line = json.dumps({"mixture": key, "perplexity": self.known[key]})
            append_line(self.path, line)
        return self.known[key]

    def has(self, names: Iterable[str]) -> bool:
        """Whether this mixture was measured already."""
        return self._key(names) in self.known

    def _key(self, names: Iterable[str]) -> str:
        source, policy = self.finest.manifest.source.digest, self.finest.manifest.policy
        other = self.coarser.manifest.policy.model_dump(mode="json")
        what = [source, policy.model_dump(mode="json"), other, self.finest.manifest.generator,
                digest_of(self.text), sorted(names)]  # fmt: skip
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()


def digest_of(text: str | Sequence[int]) -> str:
    """SHA-256 of a text in UTF-8, or of token ids as JSON."""
    raw = text if isinstance(text, str) else json.dumps([int(token) for token in text])
    return hashlib.sha256(raw.encode("utf-8", "surrogatepass")).hexdigest()


def _lines(path: Path) -> Iterator[tuple[str, float]]:
    """Whole lines of the file; a line that a kill cut off is measured again."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return
    for line in text.splitlines():
        try:
            entry: Mapping[str, object] = json.loads(line)
            yield str(entry["mixture"]), float(str(entry["perplexity"]))
        except (ValueError, KeyError, TypeError):
            continue
