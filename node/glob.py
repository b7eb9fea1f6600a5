"""Patterns over paths, by the rules of doublestar (https://github.com/bmatcuk/doublestar, v4). Pure.

``*`` any characters but ``/``; ``?`` one of them; ``[a-z]``, ``[!a]``, ``[^a]`` one of a class, never ``/``; ``{a,b}``
either, nested and with ``/`` inside if need be; ``\\`` takes the next character as it is. ``**`` as a whole segment is
any number of folders, at the end anything at all, and ``a/**`` is also ``a`` itself; anywhere else it is ``*``.
A whole path has to match.

How: alternatives are written out, each pattern is a run of bits, and a path moves all of them at once, one step for
each character; steps that were taken before are remembered. So the work grows with the length of the path alone, and
is bounded where a pattern makes every step new. No library has these rules: ``fnmatch`` knows no ``**``; those that
turn patterns into regular expressions (``glob.translate``, wcmatch) differ in what ``**``, braces and malformed
classes mean, and can be made to backtrack for years.

Does not live here: which paths are asked about, and what is done with them (``node.requester.plan``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

ALTERNATIVES_MAX = 512  # That the {} of a pattern stand for. Refused.
TOKENS_MAX = 8_192  # Of all of them written out. Refused.
STEPS_MAX = 1_000_000  # New steps, for all paths that a pattern is asked about. Refused: a few seconds of work.
_CACHED_MAX = 16_384  # Steps remembered; then all are forgotten.
_CHARACTERS_MAX = 65_536  # The same of characters.


class BadPattern(ValueError):
    """The pattern is malformed, or costs too much; the text says what about it."""


@dataclass(frozen=True, slots=True)
class _Class:
    """``[…]``: ranges of characters, or all but those."""

    ranges: tuple[tuple[str, str], ...]
    is_negated: bool

    def has(self, char: str) -> bool:
        """Whether it takes that character."""
        return char != "/" and any(low <= char <= high for low, high in self.ranges) != self.is_negated


@dataclass(frozen=True, slots=True)
class _Sign:
    name: str


_ONE = _Sign("?")
_STAR = _Sign("*")
_FOLDERS = _Sign("**/")
_REST = _Sign("** at the end")
_Token = str | _Sign | _Class  # A character stands for itself.
_Tokens = tuple[_Token, ...]


@dataclass(slots=True, eq=False)
class _State:
    """Where a path has got to in every alternative, and the steps from there that are known."""

    bits: int
    steps: dict[str, _State] = field(default_factory=dict)


class Glob:
    """A pattern, ready for many paths; those with a folder in common are cheapest in a row."""

    def __init__(self, pattern: str) -> None:
        """Raises BadPattern."""
        self._machine = _Machine([_joined(tokens) for tokens in _Reader(pattern).alternatives()])
        self._trail: list[tuple[str, _State]] = []  # folders of the last path, and the states behind them

    def matches(self, path: str) -> bool:
        """Whether the whole of ``path`` matches. Raises BadPattern after too much work."""
        while self._trail and not path.startswith(self._trail[-1][0]):
            self._trail.pop()
        begun, state = self._trail[-1] if self._trail else ("", self._machine.start)
        for at in range(len(begun), len(path)):
            char = path[at]
            state = state.steps.get(char) or self._machine.step(state, char)
            if char == "/":
                self._trail.append((path[: at + 1], state))
        return bool(state.bits & self._machine.final)


class _Machine:
    """All alternatives as one number: a bit for each place between two tokens.

    Baeza-Yates and Gonnet, "A new approach to text searching" (CACM 35:10, 1992), with places that stay and skip.
    """

    def __init__(self, alternatives: Iterable[_Tokens]) -> None:
        self.final = first = 0
        self._places: dict[_Token, int] = {}
        place = 1
        for tokens in alternatives:
            first |= place
            for number, token in enumerate(tokens):
                self._places[token] = self._places.get(token, 0) | place
                if _may_end(tokens[number:]):
                    self.final |= place
                place <<= 1
            self.final |= place
            place <<= 1
        one, star, folders, rest = (self._places.get(sign, 0) for sign in (_ONE, _STAR, _FOLDERS, _REST))
        self._ones = one
        self._classes = [(sign, places) for sign, places in self._places.items() if isinstance(sign, _Class)]
        self._stay = {True: folders | rest, False: folders | rest | star}  # by whether the character is a slash
        self._skip = {True: folders | rest | star, False: rest | star}
        self._alike: dict[str, str] = {}  # by character, the first one that the same tokens take
        self._first: dict[tuple[int, bool], str] = {}  # by places that take it, and whether it is a slash
        self._states: dict[int, _State] = {}
        self._stepped: list[_State] = []  # once for each step that is remembered
        self._left = STEPS_MAX
        self.start = self._state(self._skipped(first, begins_segment=True))

    def step(self, state: _State, char: str) -> _State:
        """Where ``char`` leads. Raises BadPattern after too many new steps."""
        alike = self._alike.get(char) or self._met(char)
        found = state.steps.get(alike)
        if found is None:
            self._spend(1)
            if len(self._stepped) >= _CACHED_MAX:
                self._forget()
            is_slash = char == "/"
            after = ((state.bits & self._taking(alike)) << 1) | (state.bits & self._stay[is_slash])
            state.steps[alike] = found = self._state(self._skipped(after, begins_segment=is_slash))
            self._stepped.append(state)
        return found

    def _skipped(self, bits: int, *, begins_segment: bool) -> int:
        """With the places behind tokens that may stand for nothing; at most two of them are in a row (``_joined``)."""
        skip = self._skip[begins_segment]
        while (more := bits | (bits & skip) << 1) != bits:
            bits = more
        return bits

    def _met(self, char: str) -> str:
        if len(self._alike) >= _CHARACTERS_MAX:
            self._alike.clear()
        alike = self._first.setdefault((self._taking(char), char == "/"), char)
        self._alike[char] = alike
        return alike

    def _taking(self, char: str) -> int:
        found = self._places.get(char, 0) | (0 if char == "/" else self._ones)
        for token, places in self._classes:
            self._spend(len(token.ranges))
            found |= places if token.has(char) else 0
        return found

    def _state(self, bits: int) -> _State:
        found = self._states.get(bits)
        if found is None:
            found = self._states[bits] = _State(bits)
        return found

    def _forget(self) -> None:
        for state in self._stepped:
            state.steps.clear()
        self._stepped.clear()
        self._states.clear()

    def _spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise BadPattern("it takes too long with these names; use fewer of * ? [] {}")


class _Reader:
    """From text to tokens, with alternatives written out."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0

    def alternatives(self) -> list[list[_Token]]:
        """Every pattern that the text stands for. Raises BadPattern."""
        begun: list[tuple[list[list[_Token]], list[list[_Token]]]] = []  # what stands before each {, and its branches
        now: list[list[_Token]] = [[]]
        work = 0
        while self._at < len(self._text):
            char = self._next()
            if char == "{":
                begun.append((now, []))
                now = [[]]
            elif char == "," and begun:
                begun[-1][1].extend(now)
                now = [[]]
            elif char == "}":
                if not begun:
                    raise BadPattern("a } without its {; write \\} for the character")
                before, branches = begun.pop()
                now = _product(before, branches + now)
            else:
                token = self._token(char)
                for tokens in now:
                    tokens.append(token)
            work += len(now)
            if work > TOKENS_MAX:
                raise BadPattern("its alternatives are too long, written out; use fewer {}")
        if begun:
            raise BadPattern("a { without its }; write \\{ for the character")
        return now

    def _next(self) -> str:
        self._at += 1
        return self._text[self._at - 1]

    def _token(self, char: str) -> _Token:
        if char == "[":
            return self._class()
        if char == "\\":
            return self._escaped()
        return {"*": _STAR, "?": _ONE}.get(char, char)

    def _escaped(self) -> str:
        if self._at == len(self._text):
            raise BadPattern("a \\ at the end, with nothing to take as it is")
        return self._next()

    def _class(self) -> _Class:
        """Behind the ``[``."""
        is_negated = self._text[self._at : self._at + 1] in ("!", "^")
        self._at += is_negated
        ranges: list[tuple[str, str]] = []
        while (char := self._in_class()) != "]":
            low = self._escaped() if char == "\\" else char
            high = low
            if self._text[self._at : self._at + 1] == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                char = self._in_class()
                high = self._escaped() if char == "\\" else char
            ranges.append((low, high))
        if not ranges:
            raise BadPattern("a [] with nothing in it; write \\] for the character")
        return _Class(tuple(ranges), is_negated)

    def _in_class(self) -> str:
        if self._at == len(self._text):
            raise BadPattern("a [ without its ]; write \\[ for the character")
        return self._next()


def _may_end(rest: _Tokens) -> bool:
    """Whether a path may end before the slash that is left: ``a/**`` is also ``a``."""
    return len(rest) > 1 and rest[0] == "/" and all(token in (_FOLDERS, _REST) for token in rest[1:])


def _product(before: list[list[_Token]], branches: list[list[_Token]]) -> list[list[_Token]]:
    if len(before) * len(branches) > ALTERNATIVES_MAX:
        raise BadPattern(f"its {{}} stand for more than {ALTERNATIVES_MAX} patterns; use fewer")
    return [head + tail for head in before for tail in branches]


def _joined(tokens: list[_Token]) -> _Tokens:
    """Stars as what they mean where they stand; a sign that repeats itself once."""
    joined: list[_Token] = []
    at = 0
    while at < len(tokens):
        stars = 0
        while at < len(tokens) and tokens[at] is _STAR:
            stars, at = stars + 1, at + 1
        if stars == 0:
            joined.append(tokens[at])
            at += 1
        elif (
            stars == len("**") and (not joined or joined[-1] in ("/", _FOLDERS)) and tokens[at : at + 1] in ([], ["/"])
        ):
            sign = _FOLDERS if at < len(tokens) else _REST
            at += 1
            if joined[-1:] != [sign]:
                joined.append(sign)
        else:
            joined.append(_STAR)
    return tuple(joined)
