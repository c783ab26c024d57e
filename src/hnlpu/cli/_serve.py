"""`hnlpu serve`: a build behind OpenAI's API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hnlpu.cli._app import app
from hnlpu.cli._exchange import machine_of
from hnlpu.cli._options import (
    BuildArgument,
    DeviceOption,
    ExchangeOption,
    GridOption,
    Json,
    NumericsOption,
    chosen_numerics,
    read_text,
)
from hnlpu.cli._output import out, print_json, waiting
from hnlpu.errors import InvalidInput, ToolMissing

MOST_MEGABYTES = 900


@app.command()
def serve(
    directory: BuildArgument,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any free one.")] = 8000,
    model_name: Annotated[
        str | None, typer.Option(help="Id of the model (default: the folder's name).")
    ] = None,
    api_key: Annotated[
        list[str] | None, typer.Option(help="A key that clients must give; may be repeated.")
    ] = None,
    api_key_file: Annotated[
        Path | None, typer.Option(help="File of such keys, one a line.")
    ] = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]PATH", help="A LoRA adapter to load; may be repeated."),
    ] = None,
    adapter_folder: Annotated[
        Path | None,
        typer.Option(help="Folder of LoRA adapters that clients may load and unload."),
    ] = None,
    device: DeviceOption = "cpu",
    numerics: NumericsOption = "float",
    exchange: ExchangeOption = None,
    grid: GridOption = None,
    context: Annotated[
        int | None, typer.Option(help="Longest prompt and answer (default: the model's limit).")
    ] = None,
    sequences: Annotated[int, typer.Option(help="Most sequences in the batch.")] = 256,
    rows: Annotated[int, typer.Option(help="Most tokens in one step.")] = 512,
    cache_mb: Annotated[
        int, typer.Option(help="Memory for keys and values, or other states.")
    ] = 1024,
    queue: Annotated[int, typer.Option(help="Most sequences that wait.")] = 256,
    rate_limit: Annotated[
        float | None, typer.Option(help="Requests a minute and client (default: any number).")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Most new tokens of a request.")] = 4096,
    max_body_mb: Annotated[float, typer.Option(help="Longest request.")] = 4.0,
    speculation: Annotated[
        bool,
        typer.Option(
            "--speculation", help="Look tokens up in the text where requests do not say otherwise."
        ),
    ] = False,
    draft: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="A second build that proposes tokens; implies --speculation."
        ),
    ] = None,
    stored_mb: Annotated[
        float, typer.Option(help="Memory for stored responses; 0 stores none.")
    ] = 64.0,
    timeout: Annotated[float, typer.Option(help="Seconds that a request may take.")] = 600.0,
    shutdown_seconds: Annotated[
        float, typer.Option(help="Time for requests under way when the server is to end.")
    ] = 30.0,
    request_log: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Add a line of JSON for every request; - is the standard error."
        ),
    ] = None,
    self_test: Annotated[
        bool,
        typer.Option("--self-test", help="Serve nobody: test that company changes no answer."),
    ] = False,
    minutes: Annotated[float, typer.Option(help="How long to test.")] = 1.0,
    streams: Annotated[int, typer.Option(help="Connections at once, of the test.")] = 50,
    json: Json = False,
) -> None:
    """Serve a build behind OpenAI's API, with a page to talk to it."""
    try:
        from hnlpu.run.engine import Limits
        from hnlpu.serve import ServerSettings
        from hnlpu.serve import serve as do_serve
    except ModuleNotFoundError as error:
        raise ToolMissing(
            f"serving needs the package {error.name}; install it: pip install 'hnlpu[serve]'"
        ) from None
    if self_test:
        if numerics != "float" or exchange is not None or grid is not None:
            raise InvalidInput(
                "--self-test serves in float numerics; leave --numerics, --exchange and --grid out"
            )
        _test(directory, minutes, streams, json)
        return
    keys = list(api_key or ())
    if api_key_file is not None:
        keys += [line.strip() for line in read_text(api_key_file).splitlines() if line.strip()]
    settings = ServerSettings(
        host=host, port=port, api_keys=tuple(keys), model_name=model_name,
        adapters=_adapters(adapter or []), adapter_folder=adapter_folder, device=device,
        limits=Limits(context, sequences, rows, cache_mb * 2**20),
        queue=queue, timeout_seconds=timeout, shutdown_seconds=shutdown_seconds,
        rate_per_minute=rate_limit, max_body_bytes=_bytes("max_body_mb", max_body_mb), max_tokens=max_tokens,
        speculation=speculation or draft is not None, draft=draft,
        numerics=chosen_numerics(numerics), machine=machine_of(numerics, exchange, grid),
        stored_bytes=_bytes("stored_mb", stored_mb), request_log=request_log,
    )  # fmt: skip

    def announce(address: str) -> None:
        if json:
            print_json({"address": address})
        else:
            out.print(f"{directory} is served at {address} (OpenAI's API under {address}/v1)")
        out.file.flush()

    do_serve(directory, settings, announce)


def _test(directory: Path, minutes: float, streams: int, json: bool) -> None:
    """Run the self-test and print what came out; exit code 1 where it did not pass."""
    from hnlpu.serve import open_sound_build, self_test

    with waiting(f"testing for {minutes:g} minutes"):
        found = self_test(open_sound_build(directory), minutes, streams)
    if json:
        print_json(found)
    else:
        for name, value in found.items():
            if isinstance(value, dict):
                value = ", ".join(f"{key}: {entry}" for key, entry in value.items()) or "none"
            out.print(f"{name.replace('_', ' '):<18} {value}")
        verdict = "no answer depends on its company" if found["passed"] else "NOT passed"
        out.print(f"{directory}: {verdict}")
    if not found["passed"]:
        raise typer.Exit(1)


def _bytes(name: str, megabytes: float) -> int:
    """Megabytes of an option in bytes.  Raises InvalidInput for what is no number of them."""
    if not 0 <= megabytes <= MOST_MEGABYTES:
        raise InvalidInput(f"`{name}`: must be from 0 to {MOST_MEGABYTES}, not {megabytes:g}")
    return int(megabytes * 2**20)


def _adapters(options: list[str]) -> dict[str, Path]:
    """Folders by name from "NAME=PATH" or "PATH", which is named for its folder."""
    found: dict[str, Path] = {}
    for option in options:
        name, equals, rest = option.partition("=")
        path = Path(rest if equals else option)
        name = name if equals else path.resolve().name
        if not name or name in found:
            raise InvalidInput(f"--adapter {option}: give each adapter a name of its own")
        found[name] = path
    return found
