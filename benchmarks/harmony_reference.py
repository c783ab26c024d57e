"""Answers in harmony's format and how openai-harmony reads them, for tests/run/chat.

    pip install openai-harmony
    TIKTOKEN_ENCODINGS_BASE=FOLDER python benchmarks/harmony_reference.py

FOLDER holds o200k_base.tiktoken, which the package checks by its SHA-256.  Answers are made up
from every form of header; what the package refuses is left out.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import openai_harmony

OUT = Path(__file__).parents[1] / "tests" / "run" / "chat" / "harmony_reference.json"
COUNT = 200
BODIES = ("Hello world.", '{"city": "Zürich"}', "", "🙂 final", " to=functions.x", "a\n\nb", "json")


def header(draw: random.Random) -> str:
    """A header of any form, from behind the role on."""
    recipient = draw.choice(["", "", " to=functions.get_weather", " to=browser.search"])
    kind = draw.choice(["", "", " json", " <|constrain|>json", "<|constrain|>json", " code"])
    channel = draw.choice(["final", "final", "analysis", "commentary"])
    match draw.randrange(4):
        case 0:
            return f"{recipient}<|channel|>{channel}{kind}<|message|>"
        case 1:
            return f"<|channel|>{channel}{recipient}{kind}<|message|>"
        case 2:
            return f"<|channel|>{channel}<|message|>"
        case _:
            return "<|message|>"


def answer(draw: random.Random) -> str:
    """One to three messages."""
    if draw.random() < 0.05:
        return "Hello world.<|return|>"
    parts = [header(draw) + draw.choice(BODIES) for _ in range(draw.randint(1, 3))]
    return "<|end|><|start|>assistant".join(parts) + draw.choice(["<|return|>", "<|call|>", ""])


def main() -> None:
    """Write the file."""
    encoding = openai_harmony.load_harmony_encoding("HarmonyGptOss")
    draw, cases = random.Random(0), []
    while len(cases) < COUNT:
        text = answer(draw)
        tokens = encoding.encode(text, allowed_special="all")
        parser = openai_harmony.StreamableParser(
            encoding, openai_harmony.Role.ASSISTANT, strict=False
        )
        try:
            for token in tokens:
                parser.process(token)
            parser.process_eos()
        except openai_harmony.HarmonyError:
            continue
        messages = [
            [m.channel, m.recipient, "".join(part.text for part in m.content)]
            for m in parser.messages
        ]
        pieces = [bytes(encoding._inner.decode_bytes([token])).hex() for token in tokens]
        cases.append({"pieces": pieces, "messages": messages})
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    OUT.write_text(f"[\n{lines}\n]\n", "utf-8")


if __name__ == "__main__":
    main()
