"""What speculation saves: tokens per step and tokens/s with and without, and that no token differs.

    python benchmarks/speculation.py BUILD [--draft BUILD] [--tokens 60]

Prompts are functions of Python's standard library whose beginning is written a second time, as when code
is edited: the text has been there before.  And the same functions once, where little is found.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hnlpu.run.emulate import open_language_model
from hnlpu.run.engine import Engine, Request

MODULES = (ast, inspect, textwrap, json)


def functions() -> Iterator[str]:
    """Short functions of some modules, in a fixed order."""
    for module in MODULES:
        for _, function in sorted(inspect.getmembers(module, inspect.isfunction)):
            source = inspect.getsource(function)
            if 150 < len(source) < 330:
                yield source


def main() -> None:
    """Print a JSON document of both kinds of prompts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path)
    parser.add_argument("--draft", type=Path)
    parser.add_argument("--tokens", type=int, default=60)
    options = parser.parse_args()
    model = open_language_model(options.build)
    draft = None if options.draft is None else open_language_model(options.draft)
    found = {}
    for kind in ("written again", "once"):
        prompts = []
        for source in list(functions())[:8]:
            text = source + source[:30] if kind == "written again" else source[:60]
            prompts.append(tuple(model.encode(text).tolist()))
        found[kind] = compared(model, draft, prompts, options.tokens)
    print(json.dumps(found, indent=1))


def compared(model, draft, prompts, count) -> dict[str, float]:
    """Requests one after the other, with and without."""
    told: dict[str, float] = {}
    tokens = {}
    for name, tries in (("without", False), ("with", True)):
        engine = Engine(model, draft=draft)
        began = time.process_time()
        results = []
        for prompt in prompts:
            room = engine.context - len(prompt)
            request = Request(prompt, max_tokens=min(count, room), ignore_end=True)
            results += engine.run([replace(request, speculation=tries)])
        told[f"tokens_per_second_{name}"] = round(
            engine.counters.new_tokens / (time.process_time() - began), 1
        )
        tokens[name] = [result.tokens for result in results]
        if tries:
            c = engine.counters
            told["tokens_per_step"] = round(c.new_tokens / (c.new_tokens - c.accepted_tokens), 3)
            told["proposals_right"] = round(c.accepted_tokens / max(c.drafted_tokens, 1), 3)
    told["differing"] = sum(a != b for a, b in zip(*tokens.values(), strict=True))
    return told


if __name__ == "__main__":
    main()
