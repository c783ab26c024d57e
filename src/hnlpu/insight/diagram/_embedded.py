"""The network within its diagram: what makes an SVG file something that runs.

network ─► text form ─► xz ─► base64, in <metadata>, and back
"""

from __future__ import annotations

import base64
import binascii
import lzma
import re

from hnlpu.errors import InvalidData
from hnlpu.model.network import Network, dump, load

_ELEMENT = re.compile(r'<metadata id="hnlpu-network">([A-Za-z0-9+/=\s]*)</metadata>')


def metadata(network: Network) -> str:
    """The element that holds a network, on a line of its own."""
    packed = base64.b64encode(lzma.compress(dump(network).encode())).decode()
    return f'<metadata id="hnlpu-network">{packed}</metadata>\n'


def network_in(text: str, limit: int) -> Network:
    """The network that a diagram holds, not checked; its text form has at most `limit` bytes.

    Raises InvalidData where it holds none, or what is no network.
    """
    found = _ELEMENT.findall(text)
    if len(found) != 1:
        raise InvalidData("an SVG file without a network; `hnlpu draw` makes those that hold one")
    try:
        unpack = lzma.LZMADecompressor(memlimit=2**28)
        whole = unpack.decompress(base64.b64decode(found[0]), max_length=limit)
    except (lzma.LZMAError, binascii.Error, EOFError) as error:
        raise InvalidData(f"the network in this SVG file is damaged ({error})") from None
    if not unpack.eof:
        raise InvalidData(f"the network in this SVG file is cut off, or above {limit:,} bytes")
    return load(whole)
