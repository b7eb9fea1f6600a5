"""Groups of flags as dataclasses, and where files are by default."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import pytest
import typer

from cli.flags import app, config_home, data_home, flat


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Colours:
    """A group."""

    paint: Annotated[str, typer.Option("--paint", "-p")] = "red"
    coats: Annotated[list[int] | None, typer.Option()] = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Another."""

    width: Annotated[int, typer.Argument()]


def invoked(*arguments: str) -> object:
    @flat
    def command(colours: Colours, size: Size, loud: Annotated[bool, typer.Option("--loud")] = False) -> object:
        """Say what came."""
        return colours, size, loud

    made = app("")
    made.command()(command)
    return typer.main.get_command(made).main(list(arguments), standalone_mode=False)


def test_fields_are_flags_and_come_back_as_groups() -> None:
    assert invoked("7", "-p", "blue", "--coats", "1", "--coats", "2", "--loud") == (
        Colours(paint="blue", coats=[1, 2]),
        Size(width=7),
        True,
    )


def test_defaults_are_those_of_the_fields() -> None:
    assert invoked("7") == (Colours(), Size(width=7), False)


def test_a_field_without_default_is_required() -> None:
    with pytest.raises(typer.TyperException, match="width"):
        invoked()


def test_folders_follow_the_base_directory_specification(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative/is/ignored")

    assert data_home() == tmp_path / "quorate"
    assert config_home() == Path("/home/somebody/.config/quorate")
