"""Groups of flags as dataclasses, and commands that take such groups.

Typer makes one flag of each parameter of a function; a command with twenty flags would be a function with twenty
parameters. Here a command takes frozen dataclasses, and ``flat`` shows Typer their fields instead.

Lives here: the mechanism, and the groups that several commands share. Does not live here: flags of one command.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

_T = TypeVar("_T")

API_DEFAULT = "http://127.0.0.1:1234"

MARKUP: Any = "rich" if sys.stdout.isatty() else None  # Boxes for people; plain lines for programs, in half the time.


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Which node is asked."""

    api: Annotated[str, typer.Option(metavar="URL", envvar="QUORATE_API", help="The node's API.")] = API_DEFAULT


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How the answer is shown."""

    as_json: Annotated[bool, typer.Option("--json", help="The answer as JSON on standard output.")] = False


JobId = Annotated[str, typer.Argument(metavar="ID", help="A job's id, or as much of its beginning as is unique.")]


def app(text: str) -> typer.Typer:
    """A group of commands as all groups here are."""
    return typer.Typer(
        help=text,
        add_completion=False,
        rich_markup_mode=MARKUP,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def flat(command: Callable[..., _T]) -> Callable[..., _T]:
    """The command as Typer wants it: every field of its dataclass parameters is a parameter of its own."""
    hints = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        kind = hints[name]
        if dataclasses.is_dataclass(kind):
            groups[name] = kind
            parameters += _fields(kind)
        else:
            as_keyword = inspect.Parameter.KEYWORD_ONLY
            parameters.append(parameter.replace(annotation=kind, kind=as_keyword))

    def flattened(**values: Any) -> _T:
        given = {}
        for name, kind in groups.items():
            given[name] = kind(**{field.name: values.pop(field.name) for field in dataclasses.fields(kind)})
        return command(**values, **given)

    flattened.__name__, flattened.__doc__ = command.__name__, command.__doc__
    flattened.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    flattened.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # PEP 362
    return flattened


def data_home() -> Path:
    """Where a node keeps its data unless told otherwise."""
    return _home("XDG_DATA_HOME", ".local/share") / "quorate"


def config_home() -> Path:
    """Where a client's key is."""
    return _home("XDG_CONFIG_HOME", ".config") / "quorate"


def _home(variable: str, below: str) -> Path:
    """https://specifications.freedesktop.org/basedir-spec: what is not absolute is ignored."""
    given = Path(os.environ.get(variable, ""))
    return given if given.is_absolute() else Path.home() / below


def _fields(kind: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=_default(field), annotation=hints[field.name]
        )
        for field in dataclasses.fields(kind)
    ]


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
