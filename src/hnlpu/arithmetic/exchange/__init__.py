"""What crosses a link between chips, bit by bit (docs/exchange.md).

    a chip's numbers ─► format ─► packed bits ─► link ─► numbers ─► one sum, in the order of places

`exact` loses nothing: any number of chips has the bits of one.  `vector`, `fp16` and `int8` are
narrower; what they lose is stated where they are used.
"""

from hnlpu.arithmetic.exchange._attention import Attended, attended_part, merged, merged_over
from hnlpu.arithmetic.exchange._choice import choose
from hnlpu.arithmetic.exchange._codes import fp16_codes, fp16_values, int8_codes, int8_values
from hnlpu.arithmetic.exchange._formats import (
    FORMATS,
    INT8_BLOCK,
    VALUE_BITS_SENT,
    Format,
    as_fp16,
    as_int8,
    bits_of,
    sent,
)
from hnlpu.arithmetic.exchange._packed import packed, unpacked
from hnlpu.arithmetic.exchange._settings import (
    KINDS,
    USUAL,
    Exchange,
    ExchangeFormats,
    Kind,
    parse_formats,
)
from hnlpu.arithmetic.exchange._sums import WAYS, Way, owned, summed, summed_over_grid
from hnlpu.arithmetic.exchange._widths import (
    CANDIDATE_BITS,
    LARGEST_BITS,
    SCALE_BITS,
    TOTAL_BITS,
    Widths,
    any_part_bits,
    attention_bits,
    chance_bits,
    expert_bits,
    signed_bits,
)

__all__ = [
    "CANDIDATE_BITS",
    "FORMATS",
    "INT8_BLOCK",
    "KINDS",
    "LARGEST_BITS",
    "SCALE_BITS",
    "TOTAL_BITS",
    "USUAL",
    "VALUE_BITS_SENT",
    "WAYS",
    "Attended",
    "Exchange",
    "ExchangeFormats",
    "Format",
    "Kind",
    "Way",
    "Widths",
    "any_part_bits",
    "as_fp16",
    "as_int8",
    "attended_part",
    "attention_bits",
    "bits_of",
    "chance_bits",
    "choose",
    "expert_bits",
    "fp16_codes",
    "fp16_values",
    "int8_codes",
    "int8_values",
    "merged",
    "merged_over",
    "owned",
    "packed",
    "parse_formats",
    "sent",
    "signed_bits",
    "summed",
    "summed_over_grid",
    "unpacked",
]
