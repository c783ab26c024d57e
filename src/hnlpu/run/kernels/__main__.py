"""`python -m hnlpu.run.kernels`: compile the C kernels where they lie, and say what they can do."""

from __future__ import annotations

import sys

from hnlpu.run.kernels._compile import LIBRARY, CannotCompile, compile_library


def main() -> None:
    """Compile, load, report."""
    try:
        compiler = compile_library()
    except CannotCompile as error:
        sys.exit(f"the kernels cannot be compiled: {error}")
    from hnlpu.run.kernels import instruction_sets

    print(f"{LIBRARY}: made by {compiler}; runs {', '.join(instruction_sets())}")  # noqa: T201


if __name__ == "__main__":
    main()
