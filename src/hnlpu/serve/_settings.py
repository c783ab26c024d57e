"""How a server is to behave: where it listens, who may come, and how much each may ask."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hnlpu.errors import InvalidInput
from hnlpu.run.emulate import MachineOf, Numerics
from hnlpu.run.engine import CPU, Limits

LONGEST = 1e9
"""Of seconds, bytes and numbers: what is longer was meant otherwise."""


@dataclass(frozen=True)
class ServerSettings:
    """Settings of a server; the defaults serve one person on one machine.

    `adapters` are folders of LoRA adapters by the model id that chooses them, `adapter_folder`
    is one with more of them, which clients may load;
    `device` is where the layers run: cpu, cuda, cuda:N or interpreter.
    `queue` requests wait at most; a request has `timeout_seconds` from its
    first byte to its last token; on a shutdown those under way have
    `shutdown_seconds`.  `rate_per_minute` requests a client may make (None:
    any number), of `max_body_bytes` and `max_tokens` new tokens at most.  Stored responses have
    `stored_bytes` in all.  `speculation` is what requests get that do not say;
    `draft` is a second model of the same vocabulary, which proposes tokens where none are found in the text;
    `request_log` is a file that gets a line of JSON for every request, `-` the standard error.
    `numerics` are those of everything but the matrices, `machine` makes exchange and grid of machine
    numerics (see `hardwired`).
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_keys: tuple[str, ...] = ()
    model_name: str | None = None
    adapters: Mapping[str, Path] = field(default_factory=dict)
    adapter_folder: Path | None = None
    limits: Limits = field(default_factory=Limits)
    device: str = CPU
    queue: int = 256
    timeout_seconds: float = 600.0
    shutdown_seconds: float = 30.0
    rate_per_minute: float | None = None
    max_body_bytes: int = 4 * 2**20
    max_tokens: int = 4096
    max_connections: int = 1024
    stored_bytes: int = 64 * 2**20
    speculation: bool = False
    draft: Path | None = None
    request_log: Path | None = None
    numerics: Numerics = "float"
    machine: MachineOf | None = None

    def check(self) -> None:
        """Raises InvalidInput."""
        self.limits.check()
        if not 0 <= self.port <= 65535:
            raise InvalidInput(f"`port` {self.port}: must be from 0 (any free one) to 65535")
        for name in ("queue", "timeout_seconds", "max_body_bytes", "max_tokens", "max_connections"):
            _check(name, getattr(self, name), getattr(self, name) > 0, "above 0")
        for name in ("shutdown_seconds", "stored_bytes"):
            _check(name, getattr(self, name), getattr(self, name) >= 0, "0 or more")
        if self.rate_per_minute is not None:
            _check("rate_per_minute", self.rate_per_minute, self.rate_per_minute > 0, "above 0")
        folder = self.adapter_folder
        if folder is not None and not folder.is_dir():
            raise InvalidInput(f"`adapter_folder` {folder}: is no folder; give one that there is")
        if folder is not None and self.device != CPU:
            raise InvalidInput(
                f"`device` {self.device}: adapters run beside the wires on the CPU; leave out "
                "`adapter_folder`"
            )
        if folder is not None and self.numerics != "float":
            raise InvalidInput(
                f"`adapter_folder` {folder}: adapters run in float numerics; leave out one of it and `numerics`"
            )
        for key in self.api_keys:
            if not (key.isascii() and key.isprintable() and key == key.strip() and len(key) >= 8):
                raise InvalidInput(
                    "`api_key`: a key must be 8 or more printable ASCII characters; give another"
                )
        if not self.api_keys and not is_loopback(self.host):
            raise InvalidInput(
                f"`host` {self.host}: other machines can reach this address; "
                "give an `api_key` that they must know, or serve on 127.0.0.1"
            )


def _check(name: str, value: float, inside: bool, what: str) -> None:
    if not (inside and value < LONGEST):  # nor is it no number
        raise InvalidInput(f"`{name}`: must be {what} and no more than {LONGEST:g}, not {value:g}")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`; False if in doubt."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host or None, None)
    except (OSError, UnicodeError):
        return False
    return bool(host) and all(ipaddress.ip_address(str(a[4][0])).is_loopback for a in found)
