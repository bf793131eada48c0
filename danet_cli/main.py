"""The entry point. It handles signals first, and imports the commands and everything else after that."""

from __future__ import annotations

import sys

from danet_cli import interruption

TYPE_CHECKING = False
if TYPE_CHECKING:  # the handler is installed before other imports
    from collections.abc import Sequence


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code. A user's mistake is one line and code 2."""
    from danet_cli.commands import run_command

    return run_command(arguments)


def main() -> None:
    """Run the process's command line, and end the process."""
    interruption.install()
    from danet_cli import streams

    streams.install()
    try:
        code = run(sys.argv[1:])
    except BaseException as error:  # our own bug, which Python would print after this function
        sys.excepthook(type(error), error, error.__traceback__)
        code = 2
    interruption.leave(streams.settle(code))


if __name__ == "__main__":
    main()
