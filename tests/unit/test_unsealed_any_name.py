"""Whatever a job calls its data: an answer or a clear reason, and no path out of the folder of copies."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from doubles.peers import peer
from hypothesis import given, settings
from hypothesis import strategies as st

from node.ambient import inline
from node.errors import StorageError
from node.model import CidInput
from node.storage.combo import Combo
from node.storage.confirmed import Confirmed
from node.storage.filecoin_unsealed import Check, FilecoinUnsealed

PARTS = st.sampled_from(["..", ".", "", "apples", "a", "etc", "/ipfs/", "ipfs://", "{{ cid }}", "%2e%2e", "\\", "\x7f"])
NAMES = st.one_of(
    st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"]), min_size=1, max_size=256),
    st.lists(PARTS, min_size=1, max_size=8).map("/".join).filter(bool),
)


class Nothing:
    """An IPFS that has nothing."""

    name = "ipfs"

    async def to_fetch(self, ref):
        raise StorageError("nobody has it")

    size = list = to_fetch

    @asynccontextmanager
    async def prepared(self, ref, origin):
        raise StorageError("nobody has it")
        yield


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copies")
    (folder / "secret").write_bytes(b"secret")
    (folder / "copies" / "ap" / "apples").mkdir(parents=True)
    (folder / "copies" / "apples" / "a").mkdir(parents=True)
    (folder / "copies" / "etc").symlink_to("/etc")
    return folder / "copies"


@settings(max_examples=300, deadline=None)
@given(
    name=NAMES, template=st.sampled_from(["{{ cid }}", "{{ cid[:2] }}/{{ cid }}", "x-{{ cid }}"]), verify=st.booleans()
)
def test_every_name_has_an_answer(copies: Path, name: str, template: str, verify: bool) -> None:
    ref = CidInput(cid=name, path="/inputs", verify=verify)
    check = Check(Confirmed(None, inline, lambda: None))
    unsealed = FilecoinUnsealed(f"{copies}/{template}", inline, copies / "secret", check)

    said = []

    async def main() -> None:
        for storage in (unsealed, Combo(unsealed, Nothing())):
            for question in (storage.to_fetch, storage.size, storage.list, where(storage)):
                try:
                    said.append(await question(ref))
                except StorageError as error:
                    said.append(str(error))

    trio.run(main)
    assert not [words for words in said if isinstance(words, str) and str(copies.parent) in words]
    lies = [path for path in said if isinstance(path, Path)]
    assert all(path.is_relative_to(copies) or path == Path("/etc") for path in lies)


def where(storage):
    async def path_of(ref):
        async with storage.prepared(ref, peer(1)) as found:
            return found.path

    return path_of
