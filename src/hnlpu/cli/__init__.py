"""The command line.  Exit codes: 0 done, 1 the answer is no, 2 bad input (one line says what)."""

from __future__ import annotations

import io
import os
import sys

BAD_INPUT = 2
INTERRUPTED = 130


def main() -> None:
    """Run the command line; the only place where errors become text."""
    import typer

    from hnlpu.cli._app import app
    from hnlpu.cli._words import in_options
    from hnlpu.errors import HnlpuError

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files need not fit the terminal
            stream.reconfigure(errors="backslashreplace")
    # typer carries click under a name that depends on its version; this is ClickException
    usage_error = typer.BadParameter.__mro__[2]
    try:
        code = app(standalone_mode=False)
    except HnlpuError as error:
        code = _fail(in_options(str(error)), error)
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except (BrokenPipeError, SystemExit) as error:  # typer makes the second of the first
        if isinstance(error, SystemExit) and not isinstance(error.__context__, OSError):
            raise
        # the reader went away: nothing is wrong, but Python must not complain at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:  # a disk that fails, a folder that vanishes: what nobody foresaw
        code = _fail(f"{error.filename or 'input or output'}: {error.strerror or error}", error)
    except usage_error as error:  # type: ignore[misc]  # an exception type, found at run time
        code = _fail(f"{error.format_message()} (try 'hnlpu --help')", error)
    sys.exit(code)


def _fail(message: str, error: Exception) -> int:
    """One line on standard error; with --json a document on standard output, too (`hnlpu schema error`)."""
    line = " ".join(message.split())
    sys.stderr.write(f"hnlpu: {line}\n")
    if "--json" in sys.argv[1:]:
        from hnlpu.cli._output import print_json

        found = {"type": type(error).__name__, "message": line, "exit_code": BAD_INPUT}
        try:
            print_json({"error": found})
            sys.stdout.flush()
        except OSError:  # what the line is about, perhaps; Python must not complain at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BAD_INPUT
