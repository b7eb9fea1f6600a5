"""Parts of inputs put together in a private folder: exactly those, in their places, as links where that can be."""

from __future__ import annotations

import os

import pytest

from node import limits
from node.executor.wasm import staging
from node.executor.wasm.protocol import Input


def a_tree(folder):
    root = folder / "data"
    (root / "sub" / "deep").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "sub/c.txt", "sub/deep/d.txt"):
        (root / name).write_text(name)
    (root / "sub" / "up").symlink_to("../../../etc/passwd")
    os.mkfifo(root / "sub" / "pipe")
    return root


def prepared(folder, root, *names, taken=()):
    inputs = [Input(os.fsencode(root / name), f"/inputs/{name}", "/inputs") for name in names]
    return staged_in(folder, inputs, taken)


def staged_in(folder, inputs, taken=()):
    place = os.fsencode(folder / "staging")
    staging.make(place)
    return staging.prepare(inputs, list(taken), place)


def seen(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def test_a_shard_sees_its_files_in_their_places_and_no_other(tmp_path):
    root = a_tree(tmp_path)
    shown = prepared(tmp_path, root, "a.txt", "sub/c.txt")
    assert shown == ((f"{tmp_path}/staging/places/0", "/inputs"),)
    place = tmp_path / "staging" / "places" / "0"
    assert seen(place) == ["a.txt", "sub/c.txt"]
    assert (place / "sub" / "c.txt").samefile(root / "sub" / "c.txt")


def test_a_folder_of_a_shard_has_all_that_is_in_it_and_links_stay_links(tmp_path):
    root = a_tree(tmp_path)
    prepared(tmp_path, root, "b.txt", "sub")
    place = tmp_path / "staging" / "places" / "0"
    assert seen(place) == ["b.txt", "sub/c.txt", "sub/deep/d.txt", "sub/up"]
    assert os.readlink(place / "sub" / "up") == "../../../etc/passwd"
    assert (place / "sub" / "deep" / "d.txt").samefile(root / "sub" / "deep" / "d.txt")
    staging.clear(os.fsencode(tmp_path / "staging"))
    assert (root / "sub" / "deep" / "d.txt").read_text() == "sub/deep/d.txt"


def test_parts_of_two_inputs_do_not_meet(tmp_path):
    root = a_tree(tmp_path)
    inputs = [
        Input(os.fsencode(root / "a.txt"), "/one/a.txt", "/one"),
        Input(os.fsencode(root / "b.txt"), "/two/x/b.txt", "/two"),
        Input(os.fsencode(root / "sub"), "/three"),
    ]
    shown = staged_in(tmp_path, inputs)
    assert [guest for _, guest in shown] == ["/one", "/two", "/three"]
    assert seen(tmp_path / "staging" / "places" / "1") == ["x/b.txt"]


def test_an_output_in_the_place_of_an_input_is_refused(tmp_path):
    with pytest.raises(staging.Unusable, match="two mounts meet at /inputs"):
        prepared(tmp_path, a_tree(tmp_path), "a.txt", taken=["/inputs"])


def test_a_folder_that_is_too_deep_is_refused(tmp_path):
    deep = tmp_path / "data" / "top"
    deep.mkdir(parents=True)
    place = deep
    for _ in range(limits.RESULT_DEPTH_MAX + 1):
        place /= "d"
    place.mkdir(parents=True)
    with pytest.raises(staging.Unusable, match="deep"):
        prepared(tmp_path, tmp_path / "data", "top")
