"""Patterns: the rules of doublestar, and that no pattern takes long."""

from __future__ import annotations

import gc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from node import glob
from node.glob import BadPattern, Glob

# What github.com/bmatcuk/doublestar/v4 4.8.1 answers. (Where it contradicts its own description there is no line: it
# says that ``a*/**`` is not ``a``, that ``a**/`` is, and lets ``[^a]`` take a slash.)
ANSWERS = [
    ("/*", "/a", True),
    ("/*", "/a/b", False),
    ("/*", "a", False),
    ("*", "", True),
    ("*", "/", False),
    ("", "", True),
    ("", "a", False),
    ("/**", "", True),
    ("/**", "/a/b", True),
    ("/a/**", "/a", True),
    ("/a/**", "/ab", False),
    ("/a/**/", "/a", True),
    ("/a/**/", "/a/b", False),
    ("/**/*", "/a", True),
    ("/**/*", "", False),
    ("/**/b", "/b", True),
    ("/**/b", "/a/a/b", True),
    ("/**/b", "/ab", False),
    ("/**/b/**/c", "/a/b/b/c", True),
    ("/**/b/**/c", "/c/b", False),
    ("/**/**/b", "/b", True),
    ("/**/**/b", "/a/a/b", True),
    ("*b", "a/b", False),
    ("/a**", "/abc", True),
    ("/a**", "/a/b", False),
    ("/**a", "/bba", True),
    ("/**a", "/b/a", False),
    ("/**.txt", "/a/b.txt", False),
    ("/a**b/c", "/axxb/c", True),
    ("/***/c", "/ab/c", True),
    ("/***/c", "/a/b/c", False),
    ("/a*b*c", "/abbc", True),
    ("/a*b*c", "/ab/c", False),
    ("/?", "/ü", True),
    ("/?", "//", False),
    ("/??", "/ü", False),
    ("/[abc]", "/b", True),
    ("/[a-c]x", "/bx", True),
    ("/[a-c]x", "/dx", False),
    ("/[!a-c]", "/d", True),
    ("/[^a-c]", "/b", False),
    ("/[a-]", "/-", True),
    ("/[-a]", "/-", True),
    ("/[a-c-e]", "/d", False),
    ("/[a-c-e]", "/-", True),
    ("/[z-a]", "/m", False),
    ("/[\\]]", "/]", True),
    ("/[a\\-c]", "/b", False),
    ("/[!]a]", "/b", None),
    ("/[ä-ü]", "/ö", True),
    ("/{a,b}", "/b", True),
    ("/{a,b}", "/c", False),
    ("/{a,b/c}/d", "/b/c/d", True),
    ("/x{,y}", "/x", True),
    ("/x{}", "/x", True),
    ("/{a{b,c},d}e", "/ace", True),
    ("/{a{b,c},d}e", "/ae", False),
    ("/{*.jpg,*.png}", "/x.png", True),
    ("/{**/,}x", "/a/b/x", True),
    ("/a,b", "/a,b", True),
    ("/\\*", "/*", True),
    ("/\\*", "/a", False),
    ("/\\{a\\,b\\}", "/{a,b}", True),
    ("/{a\\,b,c}", "/a,b", True),
    ("/\\a", "/a", True),
    ("/a\\", "/a", None),
    ("/[a", "/a", None),
    ("/[]", "/a", None),
    ("/[]a]", "/a", None),
    ("/[!]", "/a", None),
    ("/[a-", "/a", None),
    ("/{a", "/a", None),
    ("/a}", "/a}", None),
    ("/{a}}", "/a}", None),
    ("/{a,{b}", "/a", None),
]


def answer(pattern, path):
    try:
        return Glob(pattern).matches(path)
    except BadPattern:
        return None


@pytest.mark.parametrize(("pattern", "path", "expected"), ANSWERS)
def test_a_pattern_means_what_doublestar_says(pattern, path, expected):
    assert answer(pattern, path) is expected


@pytest.mark.parametrize("pattern", ["/a*/**", "/**/*/**"])
def test_below_any_folder_is_the_folder_too(pattern):
    assert Glob(pattern).matches("/a")


@pytest.mark.parametrize("pattern", ["/a[^b]c", "/a[!b]c", "/a[/]c", "/a[+-0]c"])
def test_a_class_never_takes_a_slash(pattern):
    assert not Glob(pattern).matches("/a/c")


@pytest.mark.parametrize("pattern", ["{", "}", "[", "[]", "a\\", "[a-", "[\\", "{a,[}"])
def test_a_malformed_pattern_says_where_it_is_wrong(pattern):
    with pytest.raises(BadPattern, match=r"\{|\}|\[|\\"):
        Glob(pattern)


def test_a_path_may_lie_far_above_the_one_before_it():
    asked = Glob("/b/*")
    paths = ("/b/a", "/a/a/a/a", "/b/a", "/c/b/a", "/b/b")
    assert [path for path in paths if asked.matches(path)] == ["/b/a", "/b/a", "/b/b"]


segments = st.lists(st.text("ab.", min_size=1, max_size=3), min_size=1, max_size=4)
patterns = st.text("ab/*?[]{},-!^\\.", max_size=12)


def naive(pattern, path):
    """The rules once more, by trying everything; for patterns without classes, escapes and braces."""
    head, slash, tail = pattern.partition("/")
    if head == "**" and not slash:
        return True
    if head == "**":
        starts = [0, *(at + 1 for at, char in enumerate(path) if char == "/")]
        return any(naive(tail, path[at:]) for at in starts) if tail else path == "" or path.endswith("/")
    name, deeper, rest = path.partition("/")
    if not fits(head, name):
        return False
    if slash and tail in ("**", "**/") and not deeper:
        return True
    return naive(tail, rest) if slash and deeper else bool(slash) == bool(deeper)


def fits(pattern, name):
    if not pattern or not name:
        return not pattern.strip("*") and not name
    if pattern[0] == "*":
        return fits(pattern[1:], name) or fits(pattern, name[1:])
    return pattern[0] in ("?", name[0]) and fits(pattern[1:], name[1:])


@given(st.lists(st.text("ab?*", min_size=1, max_size=3), min_size=1, max_size=4).map("/".join), segments.map("/".join))
@example("**/a/**/a", "a/b/a/a")
def test_trying_everything_gives_the_same_answers(pattern, path):
    if "***" in pattern or pattern.count("**") > pattern.count("**/") + pattern.endswith("**") or "**/**" in pattern:
        return  # Other spellings of a single star or of one "**".
    assert Glob(pattern).matches(path) is naive(pattern, path), (pattern, path)


@given(patterns, st.lists(segments.map("/".join), max_size=8))
def test_answers_do_not_depend_on_what_was_asked_before(pattern, paths):
    try:
        asked = Glob(pattern)
    except BadPattern:
        return
    assert [asked.matches(path) for path in paths] == [Glob(pattern).matches(path) for path in paths]


@given(segments.map("/".join))
def test_a_path_without_signs_matches_itself(path):
    assert Glob(path).matches(path)
    assert not Glob(path).matches(path + "a")


SIGNS = "*?[]{},-!^\\"


@given(st.text(f"ab/{SIGNS}", max_size=8), st.text(f"ab/{SIGNS}", max_size=8))
def test_what_is_escaped_stands_for_itself(text, other):
    escaped = Glob(text.translate({ord(sign): f"\\{sign}" for sign in SIGNS}))
    assert escaped.matches(text)
    assert escaped.matches(other) is (other == text)


@pytest.mark.parametrize(
    "pattern",
    [
        "/**/*a" + "*?a?*" * 200,
        "/" + "**/*a/" * 150 + "*b*",
        "/{a,b}" + "{a,b}" * 8 + "*b*",
        "/" + "*" * 1000 + "b",
        "/**/[!a-y]" + "[a-c]*" * 150,
    ],
)
def test_no_pattern_explodes(pattern):
    asked = Glob(pattern)
    for number in range(2_000):
        asked.matches("/" + "a" * 250 + f"{number:04}")


def test_a_pattern_whose_every_step_is_new_is_given_up():
    asked = Glob("/*a" + "?" * 400)
    names = ("/" + f"{number * 2654435761 % 2**32:032b}".translate({48: "a", 49: "b"}) * 20 for number in range(2**20))
    with pytest.raises(BadPattern, match="too long"):
        all(asked.matches(name) or True for name in names)


def test_what_is_remembered_is_forgotten_in_time_and_nothing_goes_wrong():
    asked = Glob("/*a" + "?" * 20)
    names = ["/" + f"{number * 2654435761 % 2**32:032b}".translate({48: "a", 49: "b"}) for number in range(4_000)]
    assert [asked.matches(name) for name in names] == [name[-21] == "a" for name in names]
    remembered = [state for state in gc.get_objects() if isinstance(state, glob._State)]
    assert sum(len(state.steps) for state in remembered) <= glob._CACHED_MAX


def test_braces_that_stand_for_too_much_are_refused():
    assert Glob("{a,b}" * 9)
    with pytest.raises(BadPattern, match="more than 512"):
        Glob("{a,b}" * 10)
    with pytest.raises(BadPattern, match="too long"):
        Glob("{a,b}" * 9 + "x" * 20)


def test_braces_within_braces_are_no_deep_call():
    assert Glob("{" * 500 + "}" * 500).matches("")


def test_every_character_of_unicode_costs_little():
    asked = Glob("/*[a-z一-三]*.txt")
    assert sum(asked.matches(f"/{chr(code)}.txt") for code in range(0x4E00, 0x9FFF)) == ord("三") - ord("一") + 1
