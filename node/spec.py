"""The way into a JobSpec: JSON in, a spec whose every rule holds out, or InvalidSpec with the path of the field.

Lives here: rules between fields, defaults that depend on other fields, the canonical bytes whose sha256 names a spec,
and how inline files are named by their hashes and carried apart from it.
Does not live here: rules of one kind of input or publisher (``node.spec_data``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from node import limits
from node.errors import InvalidSpec
from node.model import (
    RESULT_NAMES,
    Argument,
    CidText,
    Deal,
    Digest,
    DockerEngine,
    ETag,
    GuestPath,
    Hex64,
    ImageName,
    InlineFile,
    InlineInput,
    Input,
    JobName,
    JobSpec,
    Output,
    Plan,
    RuntimeName,
    Sha256,
    StoreUrl,
    Url,
    WasmEngine,
)
from node.spec_data import check_inputs, check_path, check_pattern, check_publisher, check_sharding, short

_DECODER: msgspec.json.Decoder[JobSpec] = msgspec.json.Decoder(JobSpec)
_ENCODER = msgspec.json.Encoder(order="sorted")

_IN_WORDS: tuple[tuple[Any, str], ...] = (
    (Hex64, "a sha256 in 64 lower-case hex digits"),
    (JobName, "a name of at most 64 of the characters A-Z a-z 0-9 . _ -, the first a letter or a digit"),
    (GuestPath, "an absolute path below /, as in /inputs, of at most 512 characters and without control characters"),
    (StoreUrl, "s3://BUCKET[/PREFIX] or az://CONTAINER[/PREFIX]"),
    (CidText, "a CID: 1 to 256 characters, none of them a control character"),
    (Url, "a URL without spaces and control characters; percent-encode them"),
    (ETag, "an ETag without control characters"),
    (Argument, "text without NUL"),
    (ImageName, "an image as docker names it: NAME, NAME:TAG or NAME@sha256:DIGEST"),
    (RuntimeName, "the name of a runtime, of at most 64 of the characters A-Z a-z 0-9 . _ -"),
    (Digest, "sha256: and 64 lower-case hex digits"),
)
PATTERN_WORDS = {kind.__metadata__[0].pattern: words for kind, words in _IN_WORDS}  # What each pattern asks for.
_TOLD = {f"Expected `str` matching regex {pattern!r}": f"expected {words}" for pattern, words in PATTERN_WORDS.items()}


def parse(body: bytes) -> JobSpec:
    """A client's JSON to a complete spec. Raises InvalidSpec."""
    if len(body) > limits.SPEC_BODY_BYTES_MAX:
        raise InvalidSpec("$", f"expected at most {limits.SPEC_BODY_BYTES_MAX} bytes of JSON, got {len(body)}")
    try:
        spec = completed(_DECODER.decode(body))
        check_pattern(spec)
    except msgspec.ValidationError as error:
        problem, path = _located(str(error))
        raise InvalidSpec(path, problem) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidSpec("$", f"expected JSON ({error})") from error
    check_size(canonical(spec))
    return spec


def check_size(text: bytes) -> None:
    """That a spec whose JSON this is may be offered. Raises InvalidSpec."""
    if len(text) > limits.SPEC_BYTES_MAX:
        raise InvalidSpec(
            "$", f"expected at most {limits.SPEC_BYTES_MAX} bytes besides the contents of inline files, got {len(text)}"
        )


def completed(spec: JobSpec) -> JobSpec:
    """The spec with its dependent defaults filled in and its rules checked. Raises InvalidSpec."""
    _check_deal(spec)
    _check_paths(spec.inputs, spec.outputs)
    _check_engine(spec)
    check_inputs(spec.inputs)
    check_publisher(spec.publisher)
    check_sharding(spec)
    return msgspec.structs.replace(spec, deal=_completed_deal(spec.deal), inputs=_named(spec.inputs))


def room_s(spec: JobSpec) -> float:
    """How long an execution may wait for room on its node: as long as it may run, or ten minutes if that is longer."""
    return max(limits.ROOM_S_MIN, spec.timeout_s)


def canonical(spec: JobSpec) -> bytes:
    """The one encoding that names a spec: compact JSON, keys sorted, inline files by size and sha256 alone."""
    return _ENCODER.encode(stripped(spec))


def document(spec: JobSpec) -> bytes:
    """The spec to submit, as JSON: with the contents of its inline files."""
    return _ENCODER.encode(spec)


def spec_hash(spec: JobSpec) -> Sha256:
    """sha256 of the canonical bytes."""
    return sha256_of(canonical(spec))


def sha256_of(text: bytes) -> Sha256:
    """The name of a spec whose canonical bytes are these; also of a file with this content."""
    return Sha256(hashlib.sha256(text).hexdigest())


def paths_sha256(paths: Sequence[str]) -> Sha256:
    """The name of a shard's paths: sha256 of them as compact JSON."""
    return sha256_of(_ENCODER.encode(paths))


def plan_sha256(plan: Plan) -> Sha256:
    """The name of a plan: sha256 of its shards' names (``paths_sha256``) as compact JSON, so that it can be checked
    by those who know no path.
    """
    return plan_sha256_of([paths_sha256(paths) for paths in plan])


def plan_sha256_of(shards: Sequence[str]) -> Sha256:
    """The same, from the names of the shards."""
    return sha256_of(_ENCODER.encode(shards))


def stripped(spec: JobSpec) -> JobSpec:
    """A completed spec without the contents of its inline files: short enough for offers, receipts and journals."""
    if not any(isinstance(ref, InlineInput) for ref in spec.inputs):
        return spec
    return msgspec.structs.replace(spec, inputs=tuple(map(_stripped, spec.inputs)))


def contents(spec: JobSpec) -> dict[Sha256, bytes]:
    """The contents of a completed spec's inline files, by their sha256. Raises InvalidSpec where one is missing."""
    found = {}
    for index, ref in enumerate(spec.inputs):
        for name, file in ref.files.items() if isinstance(ref, InlineInput) else ():
            if file.content is None:
                raise InvalidSpec(f"$.inputs[{index}].files[{short(name)}]", "expected `content`, in base64")
            found[sha256_of(file.content)] = file.content
    return found


def _located(message: str) -> tuple[str, str]:
    """msgspec says ``Expected … - at `$.deal``` ; what a pattern means it does not know."""
    problem, found, path = message.rpartition(" - at `")
    text, where = (problem, path.rstrip("`")) if found else (message, "$")
    return _TOLD.get(text) or text[:1].lower() + text[1:], where


def _completed_deal(deal: Deal) -> Deal:
    if deal.confidence is not None:
        return deal
    return msgspec.structs.replace(deal, confidence=deal.concurrency // 2 + 1)


def _check_deal(spec: JobSpec) -> None:
    deal = spec.deal
    if deal.confidence is not None and deal.confidence > deal.concurrency:
        raise InvalidSpec(
            "$.deal.confidence",
            f"expected confidence <= concurrency: {deal.confidence} cannot agree when {deal.concurrency} run the job",
        )
    if spec.verifier == "deterministic" and deal.concurrency < 2:
        raise InvalidSpec(
            "$.deal.concurrency", "expected int >= 2: the deterministic verifier compares the results of several nodes"
        )


def _check_paths(inputs: tuple[Input, ...], outputs: tuple[Output, ...]) -> None:
    seen: dict[str, str] = {}
    places = [(f"$.inputs[{i}].path", item.path) for i, item in enumerate(inputs)]
    nested = _nested([path for _, path in places])
    places += [(f"$.outputs[{i}].path", item.path) for i, item in enumerate(outputs)]
    for where, path in places:
        check_path(where, path)
        if path in seen:
            raise InvalidSpec(where, f"expected a path of its own: {path} is that of `{seen[path]}`")
        seen[path] = where
    if nested is not None:
        inner, outer = nested
        raise InvalidSpec(seen[inner], f"expected a path outside of {outer}, which is another input (`{seen[outer]}`)")
    names: set[str] = set()
    for i, output in enumerate(outputs):
        if output.name in RESULT_NAMES or output.name in names:
            raise InvalidSpec(f"$.outputs[{i}].name", f"expected a name of its own, got {output.name!r}")
        names.add(output.name)


def _nested(paths: list[str]) -> tuple[str, str] | None:
    """One path that lies within another, and that one."""
    known = set(paths)
    for path in paths:
        above = path
        while above := above.rpartition("/")[0]:
            if above in known:
                return path, above
    return None


def _check_engine(spec: JobSpec) -> None:
    for name, value in spec.engine.env.items():
        if not name or "=" in name or "\0" in name or len(name) > limits.ARG_BYTES_MAX:
            raise InvalidSpec(f"$.engine.env[{name[:40]!r}]", "expected a name without `=` and NUL")
        assert "\0" not in value
    if isinstance(spec.engine, WasmEngine):
        _check_wasm(spec.engine, spec.inputs)
        if spec.resources.gpus:
            raise InvalidSpec("$.resources.gpus", "expected 0: a WASM program can use no GPU")
    if isinstance(spec.engine, DockerEngine):
        _check_docker(spec.engine, spec.resources.memory_bytes)


def _check_docker(engine: DockerEngine, memory_bytes: int) -> None:
    if engine.workdir is not None:
        check_path("$.engine.workdir", engine.workdir)
    least = limits.CONTAINER_MEMORY_MIN
    if memory_bytes < least:
        raise InvalidSpec("$.resources.memory_bytes", f"expected {least} or more, which a container takes to start")


def _check_wasm(engine: WasmEngine, inputs: tuple[Input, ...]) -> None:
    if engine.fuel is not None and engine.profile != "deterministic":
        raise InvalidSpec("$.engine.fuel", "expected the deterministic profile: fuel is counted there alone")
    if engine.stdin is None:
        return
    check_path("$.engine.stdin", engine.stdin)
    if not any(engine.stdin == ref.path or engine.stdin.startswith(f"{ref.path}/") for ref in inputs):
        raise InvalidSpec("$.engine.stdin", "expected the path of an input, or of a file of one")


def _named(inputs: tuple[Input, ...]) -> tuple[Input, ...]:
    if not any(isinstance(ref, InlineInput) for ref in inputs):
        return inputs
    return tuple(
        msgspec.structs.replace(ref, files={name: _named_file(file) for name, file in ref.files.items()})
        if isinstance(ref, InlineInput)
        else ref
        for ref in inputs
    )


def _named_file(file: InlineFile) -> InlineFile:
    if file.content is None:
        return file
    return InlineFile(content=file.content, size=len(file.content), sha256=sha256_of(file.content))


def _stripped(ref: Input) -> Input:
    if not isinstance(ref, InlineInput):
        return ref
    files = {name: InlineFile(size=file.size, sha256=file.sha256) for name, file in ref.files.items()}
    return msgspec.structs.replace(ref, files=files)
