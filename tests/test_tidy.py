"""The style of this code, executed: what ruff has no rule for. Each check names what to do.

Lives here: sizes, nesting, names of files, broad excepts. Does not live here: layers (import-linter does them).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILE_LINES_MAX = 350
BODY_LINES_MAX = 40
PARAMETERS_MAX = 6
NESTING_MAX = 3
# The HTTP edge, the command line's main, and the one door through which libp2p's some thirty unrelated errors come.
BROAD_EXCEPTS = ["cli/main.py", "node/api/server.py", "node/transport/libp2p/hardening.py"]
VAGUE = {"utils", "helpers", "common", "manager", "handler"}

PRODUCT = sorted(path for package in ("node", "cli") for path in (ROOT / package).rglob("*.py"))
SOURCES = PRODUCT + sorted(path for folder in ("tests", "scripts") for path in (ROOT / folder).rglob("*.py"))

Function = ast.FunctionDef | ast.AsyncFunctionDef
BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_small_and_says_what_lives_in_it(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)

    assert len(text.splitlines()) <= FILE_LINES_MAX, "split it by reason to change"
    assert not text or ast.get_docstring(tree), "say what lives here, and what does not"
    assert not VAGUE & {path.stem, *path.parent.relative_to(ROOT).parts}, "name it after what it does"
    for function in functions(tree):
        where = f"line {function.lineno}, {function.name}"
        assert body_lines(function) <= BODY_LINES_MAX, f"{where}: too long"
        assert parameters(function) <= PARAMETERS_MAX, f"{where}: too many parameters"
        assert nesting(function.body) <= NESTING_MAX, f"{where}: too deep"


def test_almost_nothing_catches_everything() -> None:
    broad = [name for path in PRODUCT for name, _ in broad_excepts(path)]

    assert sorted(broad) == BROAD_EXCEPTS


def test_whatever_catches_everything_says_why() -> None:
    for path in PRODUCT:
        lines = path.read_text().splitlines()
        for name, number in broad_excepts(path):
            comment = lines[number - 1].partition("#")[2].replace("noqa: BLE001", "").strip()
            function = "\n".join(lines[max(0, number - 15) : number])
            assert comment or "broad ``except``" in function, f"{name}:{number}: say why in a comment"


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function and method, however nested."""
    return (item for item in ast.walk(tree) if isinstance(item, Function))


def body_lines(function: Function) -> int:
    """Lines of code: from the first statement after the docstring to the end."""
    first = function.body[1] if ast.get_docstring(function) and function.body[1:] else function.body[0]
    assert function.end_lineno is not None
    return function.end_lineno - first.lineno + 1


def parameters(function: Function) -> int:
    """What a caller passes."""
    given = function.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def nesting(body: list[ast.stmt]) -> int:
    """Blocks within blocks. An ``elif`` is not within its ``if``; a function within a function counts for itself."""
    return max((_depth(statement) for statement in body), default=0)


def _depth(statement: ast.stmt) -> int:
    if not isinstance(statement, BLOCKS):
        return 0
    inside = max((nesting(body) for body in _bodies(statement)), default=0)
    beside = nesting(statement.orelse) if _is_elif(statement) else 0
    return max(1 + inside, beside)


def _bodies(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in ("body", "finalbody") if _is_elif(statement) else ("body", "orelse", "finalbody"):
        yield getattr(statement, name, [])
    for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        yield part.body


def _is_elif(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and len(statement.orelse) == 1 and isinstance(statement.orelse[0], ast.If)


def broad_excepts(path: Path) -> list[tuple[str, int]]:
    """Where ``except Exception`` and its like stand; not where the same exception goes on after some clean-up."""
    found = [item for item in ast.walk(ast.parse(path.read_text())) if isinstance(item, ast.ExceptHandler)]
    return [(str(path.relative_to(ROOT)), item.lineno) for item in found if _is_broad(item.type) and not _goes_on(item)]


def _goes_on(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _is_broad(caught: ast.expr | None) -> bool:
    kinds = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException")) for kind in kinds
    )
