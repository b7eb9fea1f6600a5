"""Flags about data: which source means which input, small files that are sent along, shards and publishers."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.data import Data, publisher_of, sharding_of
from cli.errors import SpecRefused, UsageProblem
from cli.fields import by_flags
from cli.submission import Deal, Limits
from cli.wasm import Program
from cli.wasm_spec import spec_of
from node import limits
from node.model import (
    CidInput,
    Input,
    IpfsPublisher,
    JobSpec,
    LocalInput,
    LocalPublisher,
    NonePublisher,
    ObjectInput,
    ObjectPublisher,
    Sharding,
    UrlInput,
    VaultPublisher,
)


def spec(*, deal: Deal | None = None, **given: object) -> JobSpec:
    program = Program(module=Path("census.wasm"), **given)  # type: ignore[arg-type]
    return spec_of(program, deal or Deal(), Limits(), "ab" * 32)


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        ("bafy:/data", CidInput(cid="bafy", path="/data")),
        ("bafy/below/it:/data", CidInput(cid="bafy/below/it", path="/data")),
        ("ipfs://bafy:/data", CidInput(cid="bafy", path="/data")),
        ("bafy:/data/", CidInput(cid="bafy", path="/data")),
        ("https://example.org/a.csv:/data", UrlInput(url="https://example.org/a.csv", path="/data")),
        (
            "https://example.org/a%20b.csv?x=/y:/data/",
            UrlInput(url="https://example.org/a%20b.csv?x=/y", path="/data/a b.csv"),
        ),
        ("http://example.org:8080/a:/b.csv:/data/x", UrlInput(url="http://example.org:8080/a:/b.csv", path="/data/x")),
        ("s3://bucket/a/b:/data", ObjectInput(url="s3://bucket/a/b", path="/data")),
        ("az://box:/data", ObjectInput(url="az://box", path="/data")),
        ("file:///srv/data:/data", LocalInput(source="/srv/data", path="/data")),
    ],
)
def test_a_source_says_what_kind_of_input_it_is(volume: str, expected: Input) -> None:
    assert spec(volumes=[volume]).inputs == (expected,)


@pytest.mark.parametrize(
    "volume",
    [
        "https://example.org/a.csv",
        "s3://bucket/a",
        "ftp://h/a:/data",
        "file://srv/data:/data",
        "apples",
        ":/data",
        "a:/",
    ],
)
def test_a_source_without_a_path_or_of_no_kind_says_how_to_write_it(volume: str) -> None:
    with pytest.raises(UsageProblem, match="--input-volumes") as caught:
        spec(volumes=[volume])
    assert "SOURCE:/PATH" in caught.value.hint


def test_short_forms_are_at_inputs() -> None:
    assert spec(inputs=["s3://bucket/a"]).inputs == (ObjectInput(url="s3://bucket/a", path="/inputs"),)
    assert spec(inputs=["https://h/a"]).inputs == (UrlInput(url="https://h/a", path="/inputs/a"),)


def test_files_of_the_web_lie_in_one_folder_under_their_own_names() -> None:
    assert spec(urls=["https://h/a", "https://h/x/b.csv"]).inputs == (
        UrlInput(url="https://h/a", path="/inputs/a"),
        UrlInput(url="https://h/x/b.csv", path="/inputs/b.csv"),
    )


def test_two_urls_of_one_name_are_refused_by_the_name_of_the_flag() -> None:
    with pytest.raises(UsageProblem, match=r"-u https://other/a: .* /inputs/a is that of `-u https://h/a`"):
        spec(urls=["https://h/a", "https://other/a"])


def test_a_url_that_names_no_file_says_so() -> None:
    with pytest.raises(UsageProblem, match="ends in a file name"):
        spec(urls=["https://h/"])


def test_verification_is_asked_for_every_cid() -> None:
    inputs = spec(volumes=["bafy:/a", "https://h/x:/b"], inputs=["bagy"], verify_inputs=True).inputs
    assert [getattr(ref, "verify", None) for ref in inputs] == [True, None, True]


def test_small_files_go_along_in_one_folder_each(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_text(name)
    (one, other) = spec(
        files=[f"{tmp_path}/a.txt", f"{tmp_path}/b.txt:/conf/", f"{tmp_path}/c.txt:/inputs/renamed.txt"]
    ).inputs
    assert (one.path, {name: file.content for name, file in one.files.items()}) == (
        "/inputs",
        {"a.txt": b"a.txt", "renamed.txt": b"c.txt"},
    )
    assert (other.path, list(other.files)) == ("/conf", ["b.txt"])
    assert one.files["a.txt"].size == 5


def test_files_that_cannot_be_sent_say_why(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(limits.INLINE_INPUT_BYTES))
    (tmp_path / "small").write_bytes(b"x")
    for files, words in [
        (["none"], "No such file"),
        (["."], "no regular file"),
        (["big", "small"], "1.05 MB|1.0 MB|together"),
        (["small", "small"], "two files are to be /inputs/small"),
    ]:
        with pytest.raises(UsageProblem, match=words) as caught:
            spec(files=[str(tmp_path / name) for name in files])
        assert caught.value.hint
    assert spec(files=[str(tmp_path / "big")]).inputs


@pytest.mark.parametrize(
    ("given", "moved"),
    [
        ({"inputs": ["apples"], "files": ["f"]}, "--input-file f:/other/"),
        ({"urls": ["https://h/a"], "files": ["f"]}, "--input-file f:/other/"),
        ({"volumes": ["apples:/inputs/x"], "files": ["f:/inputs/"]}, "--input-file f:/other/"),
        ({"inputs": ["apples"], "urls": ["https://h/a"]}, "-v https://h/a:/other/"),
        ({"inputs": ["apples", "pears"]}, "-v pears:/other"),
        ({"volumes": ["apples:/x", "s3://b/y:/x/y"]}, "-v s3://b/y:/other"),
    ],
)
def test_inputs_in_each_others_way_say_by_which_flags_and_what_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, list[str]], moved: str
) -> None:
    (tmp_path / "f").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageProblem) as caught:
        spec(**given)
    said = f"{caught.value}"
    assert "$" not in said
    flags = {"volumes": "-v", "inputs": "-i", "urls": "-u", "files": "--input-file"}
    assert all(f"{flags[kind]} {text}" in said for kind, texts in given.items() for text in texts)
    assert caught.value.hint.endswith(f" {moved}")


def test_a_file_that_is_to_lie_in_the_root_says_where_it_may_lie(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    with pytest.raises(UsageProblem, match=r"--input-file .*/f:/mk: a file cannot lie in / itself") as caught:
        spec(files=[f"{tmp_path}/f:/mk"])
    assert caught.value.hint.endswith(f"--input-file {tmp_path}/f:/other/")


def test_rules_that_the_node_checks_name_the_flag_too() -> None:
    asked = Data(volumes=["bafy:/data"], urls=["https://h/a"])
    with pytest.raises(UsageProblem, match=r"\A-u https://h/a: h does not answer\Z"), by_flags(asked):
        raise SpecRefused("h does not answer", "$.inputs[1]")
    with pytest.raises(UsageProblem, match=r"\A-u https://h/a: cannot be had\Z"), by_flags(asked):
        raise SpecRefused("https://h/a cannot be had", "$.inputs[1]")
    with pytest.raises(UsageProblem, match=r"\A-v bafy:/data: is nowhere\Z"), by_flags(asked):
        raise SpecRefused("bafy is nowhere", "$.inputs[0]")
    with pytest.raises(UsageProblem, match=r"\A--publisher: no; its operator") as caught, by_flags(asked):
        raise SpecRefused("no; its operator opens that with --x", "$.publisher")
    assert "--api" in caught.value.hint
    with pytest.raises(UsageProblem, match=r"\A-u https://h/a: ") as caught, by_flags(asked):
        raise SpecRefused("h does not answer", "$.inputs[1]")
    assert "try again" in caught.value.hint
    for path in ("", "$.engine.module"):
        with pytest.raises(SpecRefused, match="no"), by_flags(asked):
            raise SpecRefused("no", path)


def test_a_pattern_cuts_the_inputs() -> None:
    cut = spec(inputs=["bafy"], pattern="*.csv", base_path="/inputs/x", batch_size=7).sharding
    assert cut == Sharding(glob_pattern="*.csv", base_path="/inputs/x", batch_size=7)
    assert spec(inputs=["bafy"]).sharding is None


@pytest.mark.parametrize("given", [{"base_path": "/x"}, {"batch_size": 3}])
def test_a_cut_without_a_pattern_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(UsageProblem, match="about a pattern"):
        sharding_of(Data(**given))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "flag"), [({"pattern": "[a"}, "pattern"), ({"pattern": "*", "batch_size": 0}, "size")]
)
def test_a_wrong_cut_names_its_flag(given: dict[str, object], flag: str) -> None:
    with pytest.raises(UsageProblem, match=f"--sharding-.*{flag}"):
        spec(inputs=["bafy"], **given)


def test_nothing_is_cut_without_inputs() -> None:
    with pytest.raises(UsageProblem, match="--sharding-glob-pattern: expected inputs"):
        spec(pattern="*")


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("vault", VaultPublisher()),
        ("ipfs", IpfsPublisher()),
        ("none", NonePublisher()),
        ("local:/srv/results", LocalPublisher(folder="/srv/results")),
        ("s3://bucket/a", ObjectPublisher(url="s3://bucket/a")),
        ("az://box", ObjectPublisher(url="az://box")),
    ],
)
def test_publishers(where: str, expected: object) -> None:
    assert spec(publisher=where).publisher == expected


@pytest.mark.parametrize("where", ["", "estuary", "local:here", "https://h/x", "s3:bucket"])
def test_a_publisher_that_is_none_says_which_there_are(where: str) -> None:
    with pytest.raises(UsageProblem, match="--publisher"):
        publisher_of(where)


def test_holders_come_first_unless_any_node_will_do() -> None:
    assert spec().deal.holders_first
    assert not spec(deal=Deal(any_node=True)).deal.holders_first
