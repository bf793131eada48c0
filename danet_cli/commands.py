"""The commands of `danet`. Each has a package or file of its own, and imports a framework only when it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from danet_cli.ablate.command import ablate
from danet_cli.check.command import check
from danet_cli.console import EXIT_CODES, CommandError, ExitCode, print_error, print_line
from danet_cli.convert import convert
from danet_cli.cost.command import cost
from danet_cli.demo.command import demo
from danet_cli.evaluate.command import evaluate
from danet_cli.inspect import inspect
from danet_cli.predict.command import predict
from danet_cli.train.command import train

app = typer.Typer(
    name="danet",
    help="The Dual Attention Network in PyTorch, Keras and Flax: move a checkpoint between them, and prove it.",
    epilog=EXIT_CODES,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
for command in (convert, inspect, check, train, evaluate, predict, cost, ablate, demo):
    app.command("eval" if command is evaluate else None, epilog=EXIT_CODES)(command)


def print_version(is_set: bool) -> None:
    """Print the version and end."""
    if is_set:
        from danet_common import __version__

        print_line(f"danet {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Declare the options that stand before a command."""


def run_command(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code. A user's mistake is one line and code 2."""
    try:
        code = app(list(arguments) or ["--help"], prog_name="danet", standalone_mode=False)
    except typer.TyperException as error:
        command = getattr(getattr(error, "ctx", None), "command_path", "danet")
        print_error(f"{error.format_message().rstrip('.')}; see `{command} --help`")
        return ExitCode.UNABLE
    except SystemExit as leaving:  # typer ends so after a shell's completion, and at a closed pipe that is no stream
        return ExitCode.UNABLE if leaving.code else ExitCode.DONE
    except (ValueError, OSError, ModuleNotFoundError, MemoryError, CommandError) as error:
        print_error(error)
        return ExitCode.UNABLE
    except KeyboardInterrupt:  # where Python's own handler is installed
        code = ExitCode.INTERRUPTED
    if code == ExitCode.INTERRUPTED:
        print_error("interrupted")
    return code or ExitCode.DONE
