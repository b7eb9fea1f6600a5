"""What an image is called, taken apart as docker does it. Pure.

Source: the grammar of ``github.com/distribution/reference``; names are kept in their familiar form (``busybox`` for
``docker.io/library/busybox``), because that is how the engine lists them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from node.model import DockerEngine

DOCKER_HUB = "docker.io"

_REPOSITORY = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?/)?"
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*\Z"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_LOCAL_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Reference:
    """``repository`` is familiar; one of ``tag`` and ``digest`` at least is not empty."""

    repository: str
    tag: str
    digest: str = ""

    @property
    def registry(self) -> str:
        """The host, with its port if it has one, that serves it."""
        first, slash, _ = self.repository.partition("/")
        return first if slash and _is_host(first) else DOCKER_HUB

    @property
    def tagged(self) -> str:
        """The name that a look-up takes, before it is pinned."""
        return f"{self.repository}:{self.tag}"


def parsed(image: str) -> Reference:
    """Raises ValueError, whose text says how to write it."""
    if _LOCAL_ID.match(image):
        raise ValueError(f"{image[:80]!r} is an id; give the image's name")
    name, _, digest = image.partition("@")
    if digest and not _DIGEST.match(digest):
        raise ValueError(f"expected NAME@sha256: and 64 hex digits, got {image[:80]!r}")
    repository, tag = name, ""
    head, colon, tail = name.rpartition(":")
    if colon and "/" not in tail:
        repository, tag = head, tail
    if not _REPOSITORY.match(repository) or (colon and not tag and "/" not in tail) or (tag and not _TAG.match(tag)):
        raise ValueError(f"{image[:80]!r} is no name of an image; write NAME:TAG or NAME@sha256:…")
    return Reference(_familiar(repository), tag or ("" if digest else "latest"), digest)


def pinned_name(engine: DockerEngine) -> str:
    """What the engine is asked for: the same bytes on every node. Raises ValueError for an image that is not pinned."""
    if engine.digest is not None:
        return f"{parsed(engine.image).repository}@{engine.digest}"
    if engine.image_id is None:
        raise ValueError("its image is not pinned to a digest")
    return engine.image_id


def digest_among(names: Sequence[str], repository: str) -> str | None:
    """The digest by which a repository serves an image whose ``RepoDigests`` these are."""
    return next((name.rpartition("@")[2] for name in names if name.rpartition("@")[0] == repository), None)


def may_be_asked(registry: str, allowed: Collection[str]) -> bool:
    """Whether images may come from there; ``*`` allows every host."""
    return "*" in allowed or registry in allowed


def _is_host(part: str) -> bool:
    return "." in part or ":" in part or part == "localhost" or part != part.lower()


def _familiar(repository: str) -> str:
    for prefix in ("docker.io/library/", "index.docker.io/library/", "docker.io/", "index.docker.io/", "library/"):
        if repository.startswith(prefix):
            return repository.removeprefix(prefix)
    return repository
