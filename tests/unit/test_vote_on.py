"""What a job leaves out of its vote: hashes, what is handed over, receipts, and what the command line says of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, structs
from unit.receipts import FILES, ONE_LIAR, REQUESTER, finished, manifest_of_files, many, planted, refusal, spec_of

from cli.main import run
from node.compute.kept import kept
from node.journal.records import JobRecord
from node.model import DirHash
from node.receipt.check import Broken, Holds, check
from node.receipt.sign import enveloped, make
from node.receipt.statement import Annotations, stated
from node.requester.handover import check_manifest
from node.requester.incoming import Collected
from node.verifier.dirhash import h1_of, hash_tree
from node.verifier.manifest import Line, manifest_of, voted

OUTPUTS = {name: content for name, content in FILES.items() if name not in ("stdout", "stderr")}
FACTS = finished(spec_of(vote_on="outputs"), ONE_LIAR)
RECEIPT = make(REQUESTER, FACTS)


@given(st.binary(), st.binary())
def test_streams_change_the_hash_of_all_and_not_of_outputs(stdout, stderr):
    manifest = manifest_of_files(FILES | {"stdout": stdout, "stderr": stderr})
    assert voted(manifest, "outputs").h1() == manifest_of_files(OUTPUTS).h1()
    assert voted(manifest, "all") is manifest


def test_an_output_that_is_called_like_a_stream_counts():
    manifest = manifest_of_files({"exitCode": b"0", "outputs/stdout": b"1", "o/stderr": b"2"})
    assert voted(manifest, "outputs") == manifest


def test_a_node_proposes_what_counts_and_hands_over_everything(tmp_path):
    tree = hash_tree(planted(tmp_path / "r"), files_max=100, bytes_max=10**6)
    result = kept("e" * 32, tree, spec_of(vote_on="outputs"), tmp_path / "list")
    assert result.hash == manifest_of_files(OUTPUTS).h1()
    assert result.handed_over.manifest == tree.manifest.render()
    assert len(result.handed_over.files) == len(FILES)


def check_of(files, vote_on="outputs", sizes=None):
    record = structs.replace(FACTS.record, spec=spec_of(vote_on=vote_on))
    manifest = manifest_of_files(files)
    won = DirHash(manifest_of_files(OUTPUTS).h1())
    check_manifest(manifest, sizes or (1,) * len(manifest.lines), won=won, record=record)


def test_any_streams_may_be_handed_over_where_they_were_not_voted_on():
    check_of(FILES | {"stderr": b"12:04"})
    with pytest.raises(Exception, match="not the one that won"):
        check_of(FILES | {"stderr": b"12:04"}, vote_on="all")


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (OUTPUTS, "no stdout or no stderr"),
        ({name: FILES[name] for name in FILES if name != "stderr"}, "no stdout or no stderr"),
        (FILES | {"stdout2": b""}, "not the one that won"),
        (FILES | {"outputs/census.csv": b"?"}, "not the one that won"),
    ],
)
def test_nothing_else_may_be_added_left_out_or_changed(files, why):
    with pytest.raises(Exception, match=why):
        check_of(files)


def test_streams_count_in_the_size_that_was_agreed():
    with pytest.raises(Exception, match="where at most"):
        check_of(FILES, sizes=(1, 1, 2**40, 1))


def incoming(manifest, whole):
    record: JobRecord = FACTS.record
    found = Collected(record, None).incoming(0)
    found.manifest, found.sizes, found.whole, found.offset = manifest, (1,) * len(manifest.lines), whole, 7
    return found


def test_another_winner_goes_on_behind_the_files_that_are_the_same_there():
    first = manifest_of_files(FILES)
    same = incoming(first, 3)
    same.go_on_with(first, (1,) * 4)
    assert (same.whole, same.offset) == (3, 7)
    other = incoming(first, 3)  # exitCode, outputs/…, stderr
    other.go_on_with(manifest_of_files(FILES | {"stderr": b"else"}), (1, 1, 9, 1))
    assert (other.whole, other.offset) == (2, 0)


def test_another_winner_may_not_tell_other_sizes_of_files_that_are_here():
    with pytest.raises(Exception, match="sizes"):
        incoming(manifest_of_files(FILES), 3).go_on_with(manifest_of_files(FILES), (2, 1, 1, 1))


# Receipts ----------------------------------------------------------------------------------------


def test_a_receipt_holds_and_says_which_files_nobody_voted_on(tmp_path):
    checked = check(RECEIPT, planted(tmp_path / "r"))
    assert isinstance(checked, Holds)
    subjects = stated(REQUESTER.peer_id, FACTS).subject
    assert [item.name for item in subjects if item.annotations is not UNSET] == ["stderr", "stdout"]
    assert checked.predicate.shards[0].manifest == manifest_of_files(OUTPUTS).h1()


def test_files_that_were_not_voted_on_are_still_those_that_the_requester_signed_for(tmp_path):
    checked = check(RECEIPT, planted(tmp_path / "r", FILES | {"stdout": b"other"}))
    assert isinstance(checked, Broken)
    assert "stdout" in checked.why


def test_a_receipt_of_a_vote_on_all_has_no_annotations():
    facts = finished(spec_of(), ONE_LIAR)
    assert all(item.annotations is UNSET for item in stated(REQUESTER.peer_id, facts).subject)
    assert b"annotations" not in enveloped(REQUESTER, stated(REQUESTER.peer_id, facts))


def test_a_requester_cannot_pass_a_stream_off_as_voted_on():
    genuine = stated(REQUESTER.peer_id, FACTS)
    bare = tuple(structs.replace(item, annotations=UNSET) for item in genuine.subject)
    assert "voted on" in refusal(structs.replace(genuine, subject=bare))
    marked = tuple(structs.replace(item, annotations=Annotations(voted=False)) for item in genuine.subject)
    assert "voted on" in refusal(structs.replace(genuine, subject=marked))


def test_a_hash_of_all_files_is_not_one_of_a_vote_on_outputs():
    genuine = stated(REQUESTER.peer_id, FACTS)
    shard = structs.replace(genuine.predicate.shards[0], manifest=manifest_of_files(FILES).h1())
    changed = structs.replace(genuine, predicate=structs.replace(genuine.predicate, shards=(shard,)))
    assert refusal(changed)


def test_streams_of_every_shard_are_marked():
    facts = many([("right",) * 3] * 2, [FILES, FILES | {"stdout": b"2"}], vote_on="outputs")
    checked = check(make(REQUESTER, facts))
    assert isinstance(checked, Holds)
    marked = [item.name for item in stated(REQUESTER.peer_id, facts).subject if item.annotations is not UNSET]
    assert marked == [f"per_shard/{shard}/{stream}" for shard in (0, 1) for stream in ("stderr", "stdout")]


# The command line --------------------------------------------------------------------------------


def test_verify_does_not_claim_what_nobody_voted_on(tmp_path, capsys):
    (tmp_path / "receipt.json").write_bytes(RECEIPT)
    assert run(["verify", str(tmp_path / "receipt.json"), str(planted(tmp_path / "r"))]) == 0
    assert "not voted on: stdout and stderr" in capsys.readouterr().err
    assert run(["verify", str(tmp_path / "receipt.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["vote_on"] == "outputs"


def test_hash_gives_what_nodes_vote_on(tmp_path, capsys):
    folder = planted(tmp_path / "r")
    assert run(["hash", str(folder), "--vote-on", "outputs"]) == 0
    assert capsys.readouterr().out.strip() == manifest_of_files(OUTPUTS).h1() == h1_of(folder, "outputs")
    assert h1_of(folder) == manifest_of_files(FILES).h1() == manifest_of([*map(_line, FILES)]).h1()


def _line(name):
    return Line(next(line.sha256 for line in manifest_of_files(FILES).lines if line.path == name), f"results/{name}")
