"""Names of images, taken apart as docker does it."""

from __future__ import annotations

import pytest

from node.executor.docker.references import Reference, digest_among, may_be_asked, parsed, pinned_name
from node.model import DockerEngine

DIGEST = "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32


@pytest.mark.parametrize(
    ("image", "repository", "tag", "digest", "registry"),
    [
        ("busybox", "busybox", "latest", "", "docker.io"),
        ("busybox:1.36", "busybox", "1.36", "", "docker.io"),
        ("docker.io/library/busybox", "busybox", "latest", "", "docker.io"),
        ("library/busybox", "busybox", "latest", "", "docker.io"),
        ("docker.io/some/thing:a", "some/thing", "a", "", "docker.io"),
        ("some/thing", "some/thing", "latest", "", "docker.io"),
        ("ghcr.io/some/thing:v1", "ghcr.io/some/thing", "v1", "", "ghcr.io"),
        ("localhost/x", "localhost/x", "latest", "", "localhost"),
        ("127.0.0.1:5000/x", "127.0.0.1:5000/x", "latest", "", "127.0.0.1:5000"),
        ("host:5000/a/b:t", "host:5000/a/b", "t", "", "host:5000"),
        (f"busybox@{DIGEST}", "busybox", "", DIGEST, "docker.io"),
        (f"busybox:1@{DIGEST}", "busybox", "1", DIGEST, "docker.io"),
    ],
)
def test_names(image: str, repository: str, tag: str, digest: str, registry: str) -> None:
    found = parsed(image)
    assert found == Reference(repository, tag, digest)
    assert found.registry == registry


@pytest.mark.parametrize(
    "image",
    [
        *("Upper", "a//b", "a:", "a:b:c", "-a", "a/-b", "a@sha256:1", f"a@md5:{'ab' * 16}", "a b", "../etc", "a/../b"),
        *("http://a/b", "a?b", "ab" * 32, DIGEST, "host:5000:5000/a", "a\n"),
    ],
)
def test_what_is_no_name_is_refused_with_the_way_to_write_one(image: str) -> None:
    with pytest.raises(ValueError, match=r"NAME|name"):
        parsed(image)


def test_what_the_engine_is_asked_for_is_pinned() -> None:
    assert pinned_name(DockerEngine(image="docker.io/library/a:1", digest=DIGEST)) == f"a@{DIGEST}"
    assert pinned_name(DockerEngine(image="a", digest=DIGEST, image_id=OTHER)) == f"a@{DIGEST}"
    assert pinned_name(DockerEngine(image="a", image_id=OTHER)) == OTHER
    with pytest.raises(ValueError, match="not pinned"):
        pinned_name(DockerEngine(image="a"))


def test_a_digest_is_that_of_its_own_repository() -> None:
    names = (f"other/a@{OTHER}", f"a@{DIGEST}")
    assert digest_among(names, "a") == DIGEST
    assert digest_among(names, "b") is None
    assert digest_among((), "a") is None


def test_registries_are_those_that_are_listed() -> None:
    assert may_be_asked("docker.io", ("docker.io",))
    assert not may_be_asked("169.254.169.254", ("docker.io",))
    assert may_be_asked("anything:1", ("*",))
