"""Compiles every kernel of `kernels.gpu` for an H100, without one; prints what to look at.

Run in a process of its own: Triton asks once whether it is to interpret.
"""

import re

from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.compiler import compile as compile_kernel

from hnlpu.run.kernels.gpu import _attention, _project, _vector_unit

FLOATS, WHOLE, WORDS, BYTES = "*fp32", "*i64", "*i32", "*u8"
HEADS = {"heads": 64, "kv_heads": 8, "page": 16}
WHERE = {"tables": WHOLE, "sequences": WHOLE, "positions": WHOLE}
ROW = {"n": 2870, "pitch": 2880, "bits": 12, "width": 4096}
QUANTIZED = {"integers": FLOATS, "scales": WORDS, "infinite": WORDS}
PROJECT = {
    "codes": BYTES, "exponents": BYTES, "row_exponents": BYTES, "biases": FLOATS, "x": FLOATS,
    "scales": WORDS, "experts": WHOLE,
}  # fmt: skip
SHAPE = {"blocks": 90, "per": 4, "digits": 2, "biased": True, "raw": False}
SIZES = {"rows": "i32", "plane": "i32"}
KERNELS = [
    (_project._few, PROJECT | {"out": FLOATS} | SIZES, SHAPE | {"size": 16, "chunk": 8}),
    (_project._many, PROJECT | {"entries": WHOLE, "out": FLOATS} | SIZES,
     SHAPE | {"planes": 2, "size": 64, "width": 16}),
    (_vector_unit._norm, {"x": FLOATS, "more": FLOATS, "weight": FLOATS, "out": FLOATS} | QUANTIZED,
     {"eps": 1e-5, "adds": True, "rounds": True} | ROW),
    (_vector_unit._quantize, {"x": FLOATS} | QUANTIZED, ROW),
    (_vector_unit._swiglu, {"gate_up": FLOATS} | QUANTIZED,
     {"gain": 1.702, "limit": 7.0} | ROW),
    (_vector_unit._gated, {"gates": FLOATS, "ups": FLOATS, "gate_row": "i32", "up_row": "i32"}
     | QUANTIZED, ROW),
    (_vector_unit._route, {"logits": FLOATS, "chosen": WHOLE, "shares": FLOATS},
     {"experts": 32, "active": 4, "width": 32, "ranks": 4}),
    (_vector_unit._route_all, {"logits": FLOATS, "chosen": WHOLE, "shares": FLOATS},
     {"experts": 128, "active": 8, "normalise": True, "width": 128, "ranks": 8}),
    (_vector_unit._mix, {"x": FLOATS, "outputs": FLOATS, "shares": FLOATS, "out": FLOATS},
     {"n": 2880, "active": 4, "adds": True, "width": 1024}),
    (_attention._rotate, {"q": FLOATS, "k": FLOATS, "v": FLOATS, "cos": FLOATS, "sin": FLOATS,
     "queries": FLOATS, "keys": FLOATS, "values": FLOATS} | WHERE
     | {"pages": "i32", "head_pages": "i32", "q_row": "i32", "k_row": "i32", "v_row": "i32"},
     HEADS | {"half": 32, "turns": True, "most": 64, "kv_most": 8, "width": 32}),
    (_attention._scores, {"queries": FLOATS, "keys": FLOATS} | WHERE
     | {"scores": FLOATS, "pages": "i32", "head_pages": "i32"},
     {"scale": 0.125} | HEADS | {"size": 64, "window": 128, "width": 8, "span": 64}),
    (_attention._shares, {"scores": FLOATS, "shares": FLOATS, "sinks": FLOATS, "positions": WHOLE,
     "capacity": "i32"}, {"heads": 64, "kv_heads": 8, "window": 0, "width": 8, "span": 256}),
    (_attention._mixed, {"shares": FLOATS, "values": FLOATS} | WHERE
     | {"out": FLOATS, "pages": "i32", "head_pages": "i32"},
     HEADS | {"size": 64, "window": 0, "width": 8, "dims": 16}),
]  # fmt: skip

for kernel, types, constants in KERNELS:
    names = kernel.arg_names
    signature = {name: types.get(name, "constexpr") for name in names}
    source = ASTSource(
        fn=kernel, signature=signature,
        constexprs={(names.index(name),): value for name, value in constants.items()},
    )  # fmt: skip
    options = {"enable_fp_fusion": False}
    ptx = compile_kernel(source, target=GPUTarget("cuda", 90, 32), options=options).asm["ptx"]
    inexact = sorted(set(re.findall(r"\b(?:fma|mad|div|sqrt|ex2|rcp)\.[a-z.]*f(?:32|64)\b", ptx)))
    flushes = "flushes" if ".ftz" in ptx else "keeps"
    products = "tensor cores" if re.search(r"mma.*s8\.s8", ptx) else "-"
    print(kernel.__name__, "|", products, "|", flushes, "|", *inexact)  # noqa: T201
