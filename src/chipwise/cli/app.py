"""The command line: every command, and what becomes of errors.

stdout is the answer, stderr is progress, warnings and hints. Exit codes: 0 done; 1 the answer is no; 2 bad input;
3 this machine cannot; 101 a bug of ours; 130 interrupted.
"""

from __future__ import annotations

import sys
import traceback
from typing import Annotated, Any

import typer
import typer.main

from chipwise.cli import (
    advise,
    arrays,
    bench,
    check,
    compile,
    compress,
    crossover,
    devices,
    doctor,
    estimate,
    export,
    fit,
    formats,
    inspect,
    leaderboard,
    prove,
    quantize,
    report,
    run,
    search,
    sensitivity,
    serve,
    show,
    train,
    tune,
    ui,
    zoo,
)
from chipwise.cli.ending import errors_said, say

HELP_NAMES = ["-h", "--help"]

app = typer.Typer(
    name="chipwise",
    help="Give it a neural network and a machine: it makes the network fast there, and proves it.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help needs no rich: it answers twice as fast
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": HELP_NAMES},
)
_LINE = (
    fit, inspect, search, tune, train, prove, sensitivity, compress, quantize, compile, show, run, check, estimate,
    advise, ui, bench, serve, export, report,
)  # fmt: skip
for command in (*_LINE, leaderboard, crossover, arrays, formats, doctor, devices, zoo):
    app.command(name=command.__name__.rpartition(".")[2])(command.main)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415  17 ms that `--help` need not pay

        typer.echo(f"chipwise {version('chipwise')}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Give it a neural network and a machine: it makes the network fast there, and proves it."""


def main() -> None:
    """Run the command line; never returns."""
    try:
        page = _help_page(sys.argv[1:])
        if page:
            typer.echo(page)
            sys.exit(0)
        with errors_said():
            app()
    except SystemExit as end:  # typer has turned both of these into exits of its own
        if isinstance(end.__context__, BrokenPipeError):  # `chipwise inspect NET | head`
            sys.exit(0)
        if end.code == 130:
            say("interrupted")
        raise
    except Exception as error:  # noqa: BLE001  the one place where our own bugs end
        traceback.print_exc()
        say(f"error: a bug in chipwise: {type(error).__name__}: {error}", "hint: please report it with the lines above")
        sys.exit(101)


def _help_page(words: list[str]) -> str:
    """The help that is asked for, without parsing the rest: parsing imports pydantic, which doubles the time.

    Returns:
        the page of the command that is named; empty when no help is asked for, or of no command that there is.
    """
    options = words[: words.index("--")] if "--" in words else words
    if not any(word in HELP_NAMES for word in options):
        return ""
    whole = typer.main.get_command(app)
    context = typer.Context(whole, info_name="chipwise", help_option_names=HELP_NAMES)
    named = next((word for word in options if not word.startswith("-")), None)
    if named is None:
        return whole.get_help(context)
    commands: dict[str, Any] = getattr(whole, "commands", {})
    if named not in commands:
        return ""
    return str(commands[named].get_help(typer.Context(commands[named], info_name=named, parent=context)))
