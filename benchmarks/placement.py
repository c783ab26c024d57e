"""Chips, areas and transistors of a model's shapes, for both schemes and several banks.

Prints the table of docs/masks.md:  python benchmarks/placement.py [--chips 16]
"""

from __future__ import annotations

import argparse

from hnlpu.model.checkpoint import Architecture, matrix_shapes
from hnlpu.silicon.place import Embedding, make_target, place, placement_facts

GPT_OSS_120B = {
    "vocab_size": 201_088, "hidden_size": 2880, "intermediate_size": 2880,
    "num_hidden_layers": 36, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64,
    "num_local_experts": 128, "num_experts_per_tok": 4,
    "layer_types": ["full_attention"] * 36, "rope": {},
}  # fmt: skip
SPREAD = 2
REGIONS_TRACKS = 28
"""What rows of 1024 inputs of Gaussian weights need (benchmarks/regions.py)."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Place gpt-oss 120B.")
    parser.add_argument("--chips", type=int, default=16)
    parser.add_argument("--technology", default="n5")
    args = parser.parse_args()
    architecture = Architecture.model_validate(GPT_OSS_120B)
    print(
        "| scheme | bank | um2 a weight | transistors a weight | arrays on "
        f"{args.chips} chips, mm2 | chips needed |"
    )
    print("|---|---|---|---|---|---|")
    for scheme, tracks in (("taps", 0), ("regions", REGIONS_TRACKS)):
        for bank in (1, 2, 4, 8):
            target = make_target(args.technology, scheme, args.chips, bank)
            embeddings = {
                shape.name: Embedding(1, SPREAD, tracks) for shape in matrix_shapes(architecture)
            }
            placement = place(matrix_shapes(architecture), embeddings, target)
            facts = placement_facts(
                matrix_shapes(architecture), embeddings, placement, target.technology
            )
            print(
                f"| {scheme} | {bank} | {facts.area_per_digit_um2:.4f} | "
                f"{facts.transistors_per_digit:.1f} | {facts.array_area_mm2:,.0f} of "
                f"{facts.array_room_mm2:,.0f} | {facts.chips_needed or 'none'} |"
            )
    print(
        f"| published | | {facts.published_um2_per_weight} | | "
        f"{facts.array_area_by_published_mm2:,.0f} of {facts.array_room_mm2:,.0f} | "
        f"{facts.chips_by_published} |"
    )


if __name__ == "__main__":
    main()
