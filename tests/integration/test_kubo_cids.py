"""The same bytes through a real Kubo and through ours: the same CIDs, the same CAR files, the same files again."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio
from doubles.blocks import HeldBlocks
from doubles.kubo import Kubo
from doubles.kubo_cids import KUBO_CIDS
from doubles.trees import FILES, FOLDERS, bytes_of, planted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.ambient import inline
from node.errors import StorageError
from node.limits import KiB, MiB
from node.storage.ipfs import reader
from node.storage.ipfs.car import CarReader
from node.storage.ipfs.cid import Cid
from node.storage.ipfs.importer import cid_of
from node.storage.ipfs.layout import PROFILES, V0_2015, V1_2025, V1_RAW_LEAVES, Profile
from node.storage.ipfs.packing import pack

ADD = {V1_2025: (), V1_RAW_LEAVES: ("--cid-version=1",), V0_2015: ()}
INIT = {V1_2025: ("--profile", V1_2025.name), V1_RAW_LEAVES: (), V0_2015: ("--profile", V0_2015.name)}

names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..")
)
trees = st.dictionaries(names, st.integers(0, 2 * MiB + 1) | st.dictionaries(names, st.integers(0, 3)), max_size=5)


@pytest.fixture(scope="module")
def kubos(ipfs_program: str, tmp_path_factory: pytest.TempPathFactory) -> Mapping[Profile, Kubo]:
    """A repository for each profile, without a daemon."""
    made = {}
    for profile, flags in INIT.items():
        made[profile] = Kubo(ipfs_program, tmp_path_factory.mktemp("kubo"))
        made[profile].ipfs("init", "--empty-repo", *flags)
    return made


def added(kubo: Kubo, profile: Profile, *paths: Path) -> dict[str, str]:
    """Names of files and folders, and the CIDs that Kubo gives them."""
    flags = ("--only-hash", "--recursive", "--hidden", "--progress=false", *ADD[profile])
    lines = kubo.ipfs("add", *flags, *map(str, paths)).decode().splitlines()
    return {name: cid for _, cid, name in (line.split(" ", 2) for line in lines if line.startswith("added "))}


def read(car: bytes, target: Path) -> Cid:
    """Write what is in the CAR file; its root."""
    held, blocks = HeldBlocks(), CarReader()
    held.blocks |= dict(blocks.feed(car))
    blocks.end()
    (root,) = blocks.roots

    async def go() -> None:
        await reader.write(held, root, target, await reader.size_of(held, root), inline)

    trio.run(go)
    return root


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_kubo_still_gives_the_cids_that_our_tables_have(
    kubos: Mapping[Profile, Kubo], profile: Profile, tmp_path: Path
) -> None:
    paths = {f"{number}": name for number, name in enumerate([*FILES, *FOLDERS])}
    for path, name in paths.items():
        if name in FILES:
            (tmp_path / path).write_bytes(bytes_of(FILES[name]))
        else:
            planted(tmp_path / path, FOLDERS[name]())

    cids = added(kubos[profile], profile, *(tmp_path / path for path in paths))

    assert {name: cids[path] for path, name in paths.items()} == {
        name: cids[PROFILES.index(profile)] for name, cids in KUBO_CIDS.items()
    }


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees, profile=st.sampled_from(PROFILES))
def test_any_tree_has_the_cid_that_kubo_gives_it(
    kubos: Mapping[Profile, Kubo], tmp_path: Path, tree: dict[str, int | dict[str, int]], profile: Profile
) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    for name, size in tree.items():
        if isinstance(size, int):
            (folder / name).write_bytes(bytes_of(size))
        else:
            planted(folder / name, {below: bytes_of(size) for below, size in size.items()})

    assert str(cid_of(folder, profile)) == added(kubos[profile], profile, folder)[folder.name]


@pytest.mark.parametrize(
    ("profile", "name"),
    [(profile, name) for profile in PROFILES for name in ("nested", "no entries")] + [(V1_2025, "sharded in sharded")],
)
def test_kubo_takes_our_car_file_and_gives_the_same_back(
    kubos: Mapping[Profile, Kubo], profile: Profile, name: str, tmp_path: Path
) -> None:
    kubo, car = kubos[profile], bytearray()
    root = pack(planted(tmp_path / "tree", FOLDERS[name]()), profile, car.extend)

    assert str(root).encode() in kubo.ipfs("dag", "import", given=bytes(car))

    kubo.ipfs("get", "--output", str(tmp_path / "got"), str(root))
    assert cid_of(tmp_path / "got", profile) == root
    assert kubo.ipfs("dag", "export", "--progress=false", str(root)) == bytes(car)
    assert read(bytes(car), tmp_path / "read") == root
    assert cid_of(tmp_path / "read", profile) == root


@pytest.mark.parametrize(
    "flags",
    [
        ("--trickle",),
        ("--trickle", "--raw-leaves"),
        ("--chunker=rabin",),
        ("--chunker=buzhash", "--cid-version=1"),
        ("--chunker=size-2000", "--max-file-links=3"),
        ("--cid-version=1", "--raw-leaves=false"),
        ("--inline", "--inline-limit=100"),
        ("--preserve-mode", "--preserve-mtime"),
        ("--max-directory-links=10", "--max-hamt-fanout=8"),
        ("--max-directory-links=10", "--max-hamt-fanout=1024"),
    ],
    ids=" ".join,
)
def test_what_kubo_makes_with_other_flags_is_read(
    kubos: Mapping[Profile, Kubo], flags: tuple[str, ...], tmp_path: Path
) -> None:
    kubo = kubos[V0_2015]
    few = {f"{number:03d}": b"%d" % number for number in range(200)}
    tree = planted(tmp_path / "tree", {**few, "large": bytes_of(600 * KiB), "below/file": b"hello\n" * 10})

    root = kubo.add(tree, *flags)

    assert str(read(kubo.ipfs("dag", "export", "--progress=false", root), tmp_path / "read")) == root
    assert cid_of(tmp_path / "read", V1_2025) == cid_of(tree, V1_2025)


def test_links_that_kubo_imports_are_refused(kubos: Mapping[Profile, Kubo], tmp_path: Path) -> None:
    tree = planted(tmp_path / "tree", {"file": b"1"})
    (tree / "link").symlink_to("/etc/passwd")
    kubo = kubos[V1_2025]
    car = kubo.ipfs("dag", "export", "--progress=false", kubo.add(tree))

    with pytest.raises(StorageError, match=r"link cannot be used: .* a symlink node"):
        read(car, tmp_path / "read")


def test_the_profiles_are_those_of_kubo(kubos: Mapping[Profile, Kubo]) -> None:
    settings_of = json.loads(kubos[V1_2025].ipfs("config", "Import"))

    assert settings_of["UnixFSFileMaxLinks"] == V1_2025.width
    assert settings_of["UnixFSChunker"] == f"size-{V1_2025.chunk_bytes}"
    assert settings_of["UnixFSHAMTDirectorySizeEstimation"] == "block"
