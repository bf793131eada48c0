"""The entry point: it handles signals from its first line on, and imports everything else after that.

danet_cli.main      nothing is imported here but the handler
danet_cli.commands  the commands, with what parses and prints
"""

from __future__ import annotations

import sys

from danet_cli import interruption

TYPE_CHECKING = False
if TYPE_CHECKING:  # nothing may be imported before the handler is installed
    from collections.abc import Sequence


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Whatever a user can get wrong is one line and code 2."""
    from danet_cli.commands import run_command

    return run_command(arguments)


def main() -> None:
    """The entry point of the package. Ends the process."""
    interruption.install()
    from danet_cli import streams

    streams.install()
    try:
        code = run(sys.argv[1:])
    except BaseException as error:  # a fault of ours: Python would print it after this function
        sys.excepthook(type(error), error, error.__traceback__)
        code = 2
    interruption.leave(streams.settle(code))


if __name__ == "__main__":
    main()
