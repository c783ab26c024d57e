"""Numbers of a fixed width <-> the bytes of a message: the first number in the lowest bits.

byte 0: bits 7..0 of number 0     ...     zeros from behind the last number to the end of its byte
"""

from __future__ import annotations

from collections.abc import Iterable

from hnlpu.errors import InvalidInput


def packed(numbers: Iterable[int], bits: int, *, signed: bool = True) -> bytes:
    """The message of numbers of `bits` bits, in two's complement where `signed`.

    Raises InvalidInput for a number that the width does not hold.
    """
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    stream, count = 0, 0
    for number in numbers:
        if not low <= number <= high:
            raise InvalidInput(f"{number} does not fit {bits} bits of an exchange")
        stream |= (number & ((1 << bits) - 1)) << (bits * count)
        count += 1
    return stream.to_bytes(-(-bits * count // 8), "little")


def unpacked(message: bytes, bits: int, count: int, *, signed: bool = True) -> list[int]:
    """`count` numbers of `bits` bits of a message.

    Raises InvalidInput for a message of another length, or with other bits than zeros behind them.
    """
    if len(message) != -(-bits * count // 8):
        raise InvalidInput(
            f"a message of {len(message)} bytes; {count} numbers of {bits} bits have "
            f"{-(-bits * count // 8)}"
        )
    stream = int.from_bytes(message, "little")
    if stream >> (bits * count):
        raise InvalidInput("a message has bits behind its last number")
    numbers = [(stream >> (bits * n)) & ((1 << bits) - 1) for n in range(count)]
    return [n - (1 << bits) if signed and n >> (bits - 1) else n for n in numbers]
