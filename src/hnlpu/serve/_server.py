"""A build directory -> a running server, from the first check to the last answer."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

import uvicorn

from hnlpu._paths import absolute
from hnlpu.errors import DamagedBuild, InvalidInput, NotABuild
from hnlpu.model.checkpoint import is_checkpoint
from hnlpu.serve._app import create_app
from hnlpu.serve._connection import Connection, allow_connections
from hnlpu.serve._service import Service
from hnlpu.serve._settings import ServerSettings
from hnlpu.silicon.hardwire import MANIFEST, Build, file_sha256, open_build

BACKLOG = 512


def open_sound_build(directory: str | Path) -> Build:
    """The build in `directory`, every byte of it as its manifest says.

    Raises NotABuild, or DamagedBuild, which names the file.
    """
    folder = absolute(directory)
    if not (folder / MANIFEST).exists() and is_checkpoint(folder):
        raise NotABuild(
            f"{folder}: is a checkpoint; hardwire it first: hnlpu build {folder} -o DIR"
        )
    build = open_build(folder)
    files = build.manifest.files
    with ThreadPoolExecutor() as pool:
        digests = pool.map(lambda name: file_sha256(folder / name), files)
        for (name, record), digest in zip(files.items(), digests, strict=True):
            if digest != record.sha256:
                raise DamagedBuild(
                    f"{folder / name}: its SHA-256 is not the manifest's; build it again"
                )
    return build


def serve(
    directory: str | Path,
    settings: ServerSettings,
    announce: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve a build until a signal ends it; `announce` is told the address.

    On SIGTERM or SIGINT no more requests are taken, those under way have
    `settings.shutdown_seconds` to finish, and what has not by then is told so.
    Raises InvalidInput, NotABuild, DamagedBuild or UnsupportedArchitecture before anything is
    served.
    """
    settings.check()
    service = Service(open_sound_build(directory), settings)
    app = create_app(service)
    allow_connections(settings.max_connections)
    listener = _listen(settings)
    config = uvicorn.Config(
        app, access_log=False, log_level="warning", limit_concurrency=settings.max_connections,
        timeout_graceful_shutdown=int(settings.shutdown_seconds) + 10, server_header=False,
        h11_max_incomplete_event_size=2**16, http=Connection, ws="none",
    )  # fmt: skip
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    _Server(config, service, lambda: announce(address)).run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn, which lets the engine know of the end in time and exits in peace."""

    def __init__(self, config: uvicorn.Config, service: Service, announce: Callable[[], None]):
        super().__init__(config)
        self._service = service
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so: from here on signals are handled and requests answered."""
        await super().startup(sockets)
        if self.started:
            self._announce()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; a second interrupt ends at once."""
        threading.Thread(target=self._service.begin_close, daemon=True).start()
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGTERM and SIGINT, and keep quiet about them afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        kinds = (signal.SIGINT, signal.SIGTERM)
        before = {kind: signal.signal(kind, self.handle_exit) for kind in kinds}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)


def _listen(settings: ServerSettings) -> socket.socket:
    """A socket that listens where the settings say; raises InvalidInput."""
    host = settings.host.strip("[]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # a reader that reads nothing loses its connection in the end
            milliseconds = int(1000 * settings.timeout_seconds)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        listener.bind(address)
        listener.listen(BACKLOG)
    except (OSError, UnicodeError) as error:
        text = getattr(error, "strerror", None) or error
        raise InvalidInput(
            f"`host` {settings.host} `port` {settings.port}: cannot listen there ({text}); "
            "choose another, `port` 0 takes any free one"
        ) from None
    return listener
