"""Unsealed copies: templates, and CIDs that try to lead elsewhere."""

from __future__ import annotations

import os

import pytest
import trio
from doubles.peers import peer

from node.ambient import inline
from node.errors import Absent, BadTemplate, StorageError
from node.model import CidInput
from node.storage.filecoin_unsealed import FilecoinUnsealed

CID = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
ORIGIN = peer(1)


def ref(cid):
    return CidInput(cid=cid, path="/inputs")


@pytest.mark.parametrize("field", ["{{ cid }}", "{{cid}}", "{{.Cid}}", "{{.CID}}", "{{ .Cid }}"])
def test_all_spellings_of_the_cid_are_the_same(field):
    assert str(FilecoinUnsealed(f"/data/{field}/x", inline).path_of("apples")) == "/data/apples/x"


def test_a_template_may_cut_the_cid_into_folders():
    storage = FilecoinUnsealed("/data/{{ cid[:2] }}/{{ cid }}", inline)
    assert str(storage.path_of("apples")) == "/data/ap/apples"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("/data/{{ cid", "cid"),
        ("/data/{{ piece }}", "piece"),
        ("/data/{{.Piece}}", "Piece"),
        ("/data/fixed", "must name the CID"),
        ("data/{{ cid }}", "absolute"),
        ("{{ cid }}/data", "absolute"),
        ("/{{ cid }}", "absolute"),
        ("/data/../{{ cid }}", "absolute"),
        ("/data/{{ cid.__class__.__mro__ }}", "unsafe"),
        ("/data/{% for x in cid %}{{ x }}", "absolute|end of template"),
        ("", "must name the CID"),
    ],
)
def test_a_bad_template_is_refused_with_what_to_do(template, says):
    with pytest.raises(BadTemplate, match=says):
        FilecoinUnsealed(template, inline)


@pytest.mark.parametrize("cid", ["..", ".", "../etc", "a/../../etc", "/etc/passwd", "a\0b", "a/b"])
def test_a_cid_never_leads_out_of_the_fixed_folder(cid):
    storage = FilecoinUnsealed("/data/{{ cid }}", inline)
    with pytest.raises(StorageError):
        storage.path_of(cid)


def test_a_cid_cannot_climb_by_being_cut():
    """``{{ cid[:2] }}`` of ``..x`` is a path of its own."""
    with pytest.raises(StorageError):
        FilecoinUnsealed("/data/x/{{ cid[:2] }}/{{ cid[2:] }}", inline).path_of("..etc")


def test_it_has_what_lies_there_and_hands_out_the_very_path(tmp_path):
    (tmp_path / CID).mkdir()
    (tmp_path / CID / "a.txt").write_bytes(b"hello")
    (tmp_path / CID / "link").symlink_to("/etc/passwd")
    storage = FilecoinUnsealed(f"{tmp_path}/{{{{ cid }}}}", inline)

    async def main():
        with pytest.raises(Absent):
            await storage.to_fetch(ref("nowhere"))
        assert await storage.size(ref(CID)) == 5
        assert await storage.to_fetch(ref(CID)) == 0
        async with storage.prepared(ref(CID), ORIGIN) as found:
            assert (found.path, found.source) == (tmp_path / CID, "filecoin_unsealed")

    trio.run(main)


def test_a_copy_that_went_away_is_a_clear_error(tmp_path):
    storage = FilecoinUnsealed(f"{tmp_path}/{{{{ cid }}}}", inline)

    async def main():
        async with storage.prepared(ref(CID), ORIGIN):
            pytest.fail("prepared what is not there")

    with pytest.raises(Absent, match=f"no unsealed copy of {CID} is here"):
        trio.run(main)


def test_a_pipe_in_place_of_the_copy_is_not_data(tmp_path):
    os.mkfifo(tmp_path / CID)
    storage = FilecoinUnsealed(f"{tmp_path}/{{{{ cid }}}}", inline)
    with pytest.raises(StorageError, match="neither"):
        trio.run(storage.to_fetch, ref(CID))
