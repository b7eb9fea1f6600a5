"""``node`` and ``quorate``: the command line's door. Each command is imported when it is called, and not before.

Lives here: which commands there are, and that every error ends as one sentence and an exit code. Does not live here:
what a command does (a module for each), the table of exit codes (``cli.exits``).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand
from typing_extensions import override

from cli import exits, flags, output
from cli.errors import CommandError
from cli.exits import Exit
from node.errors import NodeError

ABOUT = """Verified compute where the data already is.

Data goes to standard output, everything for people to standard error. QUORATE_API names the node to talk to,
QUORATE_KEY the file with your key."""

COMMANDS = (
    ("serve", "cli.serve:serve", "Run a node."),
    ("docker", "cli.docker:app", "Submit jobs that run in containers."),
    ("wasm", "cli.wasm:app", "Submit WebAssembly jobs."),
    (
        "job",
        "cli.job:app",
        "Your jobs: list, describe, shards, logs, wait, cancel; their results: get, receipt, export.",
    ),
    ("verify", "cli.local:verify", "Check a receipt and its results, offline."),
    ("hash", "cli.local:hash_folder", "The h1: hash of a folder, as nodes vote on it."),
    ("id", "cli.local:identity", "The peer id of this machine's node, or your client id."),
    ("peers", "cli.peers:peers", "The peers of a node."),
    ("devnet", "cli.demo.commands:devnet", "Run several nodes on this machine to try things with."),
    ("demo", "cli.demo.commands:demo", "See a real job verified by five real nodes on this machine."),
    ("version", "cli.local:version", "The version of this program."),
)


class _Lazy(TyperCommand):
    """Takes every argument as it stands, for a command that is yet to be imported."""

    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See click."""
        ctx.args = args
        return []


def main() -> None:
    """The entry point of ``node`` and ``quorate``."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """One command; its exit code."""
    try:
        code = _invoked(_application(), arguments, output.program())
        sys.stdout.flush()
    except typer.Abort:
        return Exit.INTERRUPTED
    except typer.TyperException as error:
        return _usage(error)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Whoever read has had enough.
        return Exit.FAILED
    except NodeError as error:
        _tell(error)
        return exits.of_error(error)
    except Exception as error:  # The command line's end: a person gets a sentence, not a traceback.
        problem = _of_a_file(error)
        output.say(f"error: {problem or f'this is a bug: {type(error).__name__}: {error}'}", "error")
        is_serve = list(arguments[:1]) == ["serve"]  # A node's log is the place for it.
        if os.environ.get("QUORATE_DEBUG") or (is_serve and not problem):
            raise
        step = "or name one that you can use" if problem else "please report it with that"
        output.say(f"  QUORATE_DEBUG=1 shows where it happened; {step}")
        return Exit.FAILED
    return code


def _application() -> typer.Typer:
    app = flags.app(ABOUT)
    app.callback(invoke_without_command=True, epilog=exits.epilog(rich=flags.MARKUP is not None))(_help_by_default)
    for name, place, text in COMMANDS:
        app.command(name, cls=_Lazy, help=text, add_help_option=False)(_called(place))
    return app


def _help_by_default(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def _called(place: str) -> Callable[[typer.Context], int]:
    """A command that imports itself."""

    def command(ctx: typer.Context) -> int:
        module, _, attribute = place.partition(":")
        found = getattr(import_module(module), attribute)
        if not isinstance(found, typer.Typer):
            function, found = found, flags.app("")
            found.command()(function)
        return _invoked(found, ctx.args, ctx.command_path)

    return command


def _invoked(app: typer.Typer, arguments: Sequence[str], name: str) -> int:
    code = typer.main.get_command(app).main(list(arguments), prog_name=name, standalone_mode=False)
    return code if isinstance(code, int) else Exit.DONE


def _usage(error: typer.TyperException) -> int:
    """What Typer has against the command line."""
    context = getattr(error, "ctx", None)
    output.say(f"error: {error.format_message()}", "error")
    if context is not None:
        output.say(f"  try `{context.command_path} --help`")
    return error.exit_code


def _of_a_file(error: Exception) -> str:
    """What is wrong with a file or folder, which is then one that was named; "" where it is about none."""
    return f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename is not None else ""


def _tell(error: NodeError) -> None:
    output.say(f"error: {error}", "error")
    hint = error.hint if isinstance(error, CommandError) else ""
    if hint:
        output.say(f"  {hint}")


if __name__ == "__main__":
    main()
