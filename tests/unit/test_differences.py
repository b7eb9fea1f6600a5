"""Which files groups differ in, and how it is said."""

from __future__ import annotations

from unit.receipts import manifest_of_files

from node.verifier.differences import differences_told, differing

ONE = {"exitCode": b"0", "outputs/a": b"1", "outputs/b": b"2", "stderr": b"", "stdout": b"r"}


def names(*results, on="all"):
    return differing([manifest_of_files(ONE | result) for result in results], on)


def test_files_that_differ_are_named_streams_first():
    assert names({}, {"stdout": b"x", "outputs/b": b"x"}) == ("stdout", "outputs/b")


def test_files_that_are_not_everywhere_differ():
    assert names({}, {"outputs/c": b""}) == ("outputs/c",)


def test_of_several_groups_one_that_differs_is_enough():
    assert names({}, {}, {"exitCode": b"1"}) == ("exitCode",)


def test_what_was_not_voted_on_is_not_looked_at():
    assert names({}, {"stderr": b"at 12"}, on="outputs") == ()
    assert names({}, {"stderr": b"at 12", "outputs/a": b""}, on="outputs") == ("outputs/a",)


def test_fewer_than_two_lists_differ_in_nothing():
    assert differing([], "all") == names({}) == ()


def test_a_few_are_named_and_the_others_counted():
    told = differences_told(["stdout", *(f"outputs/{number}" for number in range(5))], "all")
    assert told == "groups differ in: stdout, outputs/0, outputs/1 (+3 more)"


def test_where_streams_alone_differ_there_is_advice():
    assert "--vote-on outputs" in differences_told(["stderr", "stdout"], "all")
    assert "--vote-on" not in differences_told(["stderr", "exitCode"], "all")
    assert "--vote-on" not in differences_told(["stderr"], "outputs")


def test_a_long_name_is_cut():
    assert len(differences_told(["o/" + "a" * 1000] * 4, "all")) < 400
