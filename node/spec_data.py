"""Rules of a spec about data: each kind of input, how inputs are cut, where results go. Pure.

Lives here: what can be said without asking a node or a network. Does not live here: rules about the rest of a spec
(``node.spec``), what a node allows (the drivers of ``node.storage``).
"""

from __future__ import annotations

import hashlib
from urllib.parse import unquote, urlsplit

from node import limits
from node.errors import InvalidSpec
from node.glob import BadPattern, Glob
from node.model import InlineFile, InlineInput, Input, JobSpec, LocalInput, LocalPublisher, Publisher, UrlInput

_CREDENTIALS = "every node that is offered the job would read them"


def check_path(where: str, path: str) -> None:
    """That an absolute path is in its shortest form. Raises InvalidSpec."""
    if not {"", ".", ".."}.isdisjoint(path.split("/")[1:]):
        raise InvalidSpec(where, f"expected an absolute path in its shortest form, got {path!r}")


def check_inputs(inputs: tuple[Input, ...]) -> None:
    """The rules of each kind, and of all inline files together. Raises InvalidSpec."""
    inline_bytes = 0
    for index, ref in enumerate(inputs):
        where = f"$.inputs[{index}]"
        if isinstance(ref, UrlInput):
            file_name(ref.url, f"{where}.url")
        if isinstance(ref, LocalInput):
            check_path(f"{where}.source", ref.source)
        if isinstance(ref, InlineInput):
            inline_bytes += _checked_files(where, ref)
    if inline_bytes > limits.INLINE_INPUT_BYTES:
        raise InvalidSpec(
            "$.inputs",
            f"expected inline files of at most {limits.INLINE_INPUT_BYTES} bytes in all, got {inline_bytes};"
            " put larger ones where nodes can read them: a CID, a URL, an object store",
        )


def check_publisher(publisher: Publisher) -> None:
    """The rules of its kind. Raises InvalidSpec."""
    if isinstance(publisher, LocalPublisher):
        check_path("$.publisher.folder", publisher.folder)


def check_sharding(spec: JobSpec) -> None:
    """That there is something to cut. Raises InvalidSpec."""
    if spec.sharding is not None and not spec.inputs:
        raise InvalidSpec("$.sharding", "expected inputs: shards are cut from their files")


def check_pattern(spec: JobSpec) -> None:
    """That the pattern is one. Raises InvalidSpec. Takes milliseconds, so it is not done with every offer."""
    if spec.sharding is None:
        return
    try:
        Glob(spec.sharding.glob_pattern)
    except BadPattern as error:
        raise InvalidSpec("$.sharding.glob_pattern", f"this is no pattern: {error}") from error


def file_name(url: str, where: str = "$.url") -> str:
    """What a file of the web is called: the last segment of its path, percent-decoded. Raises InvalidSpec."""
    try:
        parts = urlsplit(url)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise InvalidSpec(where, f"expected a URL, got {url[:100]!r} ({error})") from error
    if not is_web:
        raise InvalidSpec(where, f"expected http:// or https:// and a host, got {url[:100]!r}")
    if parts.username is not None:
        raise InvalidSpec(where, f"expected a URL without credentials: {_CREDENTIALS}")
    name = unquote(parts.path.rpartition("/")[2], errors="surrogateescape")
    if not _is_harmless(name):
        raise InvalidSpec(
            where, f"expected a path that ends in a file name, as in https://example.org/a.csv, got {url[:100]!r}"
        )
    return name


def short(name: str) -> str:
    """A key, as an error names it."""
    return repr(name[:40])


def _checked_files(where: str, ref: InlineInput) -> int:
    """The bytes of all files."""
    total = 0
    for name, file in ref.files.items():
        at = f"{where}.files[{short(name)}]"
        parts = name.split("/")
        if len(parts) > limits.INLINE_INPUT_DEPTH or not all(map(_is_harmless, parts)):
            raise InvalidSpec(at, "expected a relative path of plain names, as in `a.csv` or `tables/a.csv`")
        if any("/".join(parts[:end]) in ref.files for end in range(1, len(parts))):
            raise InvalidSpec(at, "expected another name: one of the files is where its folder would be")
        total += _checked_size(at, file)
    return total


def _checked_size(at: str, file: InlineFile) -> int:
    if file.content is None:
        if file.size is None or file.sha256 is None:
            raise InvalidSpec(at, "expected `content`, in base64")
        return file.size
    if file.size not in (None, len(file.content)):
        raise InvalidSpec(f"{at}.size", f"expected {len(file.content)}, the size of its content, or nothing")
    digest = hashlib.sha256(file.content).hexdigest()
    if file.sha256 not in (None, digest):
        raise InvalidSpec(f"{at}.sha256", f"expected {digest}, which its content has, or nothing")
    return len(file.content)


def _is_harmless(name: str) -> bool:
    """A name that is one, in every filesystem that we know."""
    if name in ("", ".", "..") or "/" in name or not all(char >= " " and char != "\x7f" for char in name):
        return False
    try:
        return len(name.encode()) <= limits.RESULT_PART_BYTES_MAX
    except UnicodeEncodeError:
        return False
