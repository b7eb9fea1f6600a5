"""Names in object stores, and the trees that listings are."""

from __future__ import annotations

import pytest

from node.errors import OperatorError, StorageError
from node.storage.base import Entry
from node.storage.object_names import ObjectName, Stored, folder, listed_by_operator, one, parsed


def stored(*keys, size=1):
    return [Stored(key, size, f'"{key}"') for key in keys]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("s3://b", ObjectName("s3", "b", "", is_folder=True)),
        ("s3://b/", ObjectName("s3", "b", "", is_folder=True)),
        ("az://my-container/a/b", ObjectName("az", "my-container", "a/b", is_folder=False)),
        ("s3://b.c_d/a/", ObjectName("s3", "b.c_d", "a", is_folder=True)),
        ("s3://b/a%20b", ObjectName("s3", "b", "a%20b", is_folder=False)),
        ("s3://b/ü ü", ObjectName("s3", "b", "ü ü", is_folder=False)),
    ],
)
def test_a_url_is_read_as_it_stands(url, name):
    assert parsed(url) == name
    assert parsed(name.url).key == name.key


@pytest.mark.parametrize(
    "url",
    [
        *("", "s3:", "s3://", "s3:///a", "gs://b/a", "http://b/a", "s3://u:p@b/a", "s3://../a", "S3://b", "s3://b c/a"),
        *(
            "s3://b//",
            "s3://b/a//b",
            "s3://b/a//",
            "s3://b//a",
            "s3://b/../a",
            "s3://b/a/..",
            "s3://b/./a",
            "s3://b/a\nb",
        ),
        *("s3://b/a\x7f", "s3://b/" + "a" * 256, "s3://b/" + "a/" * 200 + "a", "s3://b/\u202ea"),
    ],
)
def test_a_url_that_is_no_harmless_path_is_refused(url):
    with pytest.raises(StorageError):
        parsed(url)
    with pytest.raises(OperatorError, match="--object-store"):
        listed_by_operator(["s3://sound", url], "--object-store")


@pytest.mark.parametrize(
    ("url", "place", "lies"),
    [
        ("s3://b/data/x", "s3://b/data", True),
        ("s3://b/data", "s3://b/data/", True),
        ("s3://b/data", "s3://b", True),
        ("s3://b", "s3://b", True),
        ("s3://b/database", "s3://b/data", False),
        ("s3://b", "s3://b/data", False),
        ("s3://bb/data", "s3://b", False),
        ("az://b/data", "s3://b/data", False),
    ],
)
def test_what_is_listed_is_what_is_below_it_part_by_part(url, place, lies):
    assert parsed(url).lies_in(parsed(place)) is lies


def test_a_folder_is_a_tree_with_its_folders():
    listing = folder(parsed("s3://b/p"), stored("p/b/c/d", "p/a"))
    assert listing.entries == (
        Entry("", 0, is_folder=True),
        Entry("a", 1, is_folder=False),
        Entry("b", 0, is_folder=True),
        Entry("b/c", 0, is_folder=True),
        Entry("b/c/d", 1, is_folder=False),
    )
    assert listing.folders == ("b", "b/c")
    assert (listing.size, listing.is_object) == (2, False)


def test_one_object_is_one_file():
    [a] = stored("p/a", size=7)
    listing = one(parsed("s3://b/p/a"), a)
    assert listing.entries == (Entry("", 7, is_folder=False),)
    assert (listing.size, listing.is_object) == (7, True)


def test_the_empty_objects_that_consoles_make_for_folders_are_folders():
    markers = stored("p", "p/a", size=0)
    listing = folder(parsed("s3://b/p"), [*markers, *stored("p/a/x")])
    assert [(entry.path, entry.is_folder) for entry in listing.entries] == [("", True), ("a", True), ("a/x", False)]


@pytest.mark.parametrize(
    "keys", [["p/a", "p/a/b"], ["p/../x"], ["p//x"], ["p/a\nb"], ["p/."], ["p/" + "a" * 256], ["p/" + "a/" * 200 + "a"]]
)
def test_objects_that_cannot_lie_in_one_tree_are_refused_with_their_name(keys):
    with pytest.raises(StorageError, match="below s3://b/p"):
        folder(parsed("s3://b/p"), stored(*keys))
