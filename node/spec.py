"""The way into a JobSpec: JSON in, a spec whose every rule holds out, or InvalidSpec with the path of the field.

Lives here: rules between fields, defaults that depend on other fields, the canonical bytes whose sha256 names a spec.
"""

from __future__ import annotations

import hashlib

import msgspec

from node import limits
from node.errors import InvalidSpec
from node.model import RESULT_NAMES, Deal, Input, JobSpec, Output, Sha256

_DECODER: msgspec.json.Decoder[JobSpec] = msgspec.json.Decoder(JobSpec)
_ENCODER = msgspec.json.Encoder(order="sorted")


def parse(body: bytes) -> JobSpec:
    """JSON to a complete spec. Raises InvalidSpec."""
    if len(body) > limits.SPEC_BYTES_MAX:
        raise InvalidSpec("$", f"expected at most {limits.SPEC_BYTES_MAX} bytes of JSON, got {len(body)}")
    try:
        return completed(_DECODER.decode(body))
    except msgspec.ValidationError as error:
        problem, path = _located(str(error))
        raise InvalidSpec(path, problem) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidSpec("$", f"expected JSON ({error})") from error


def completed(spec: JobSpec) -> JobSpec:
    """The spec with its dependent defaults filled in and its rules checked. Raises InvalidSpec."""
    _check_deal(spec)
    _check_paths(spec.inputs, spec.outputs)
    _check_engine(spec)
    return msgspec.structs.replace(spec, deal=_completed_deal(spec.deal))


def canonical(spec: JobSpec) -> bytes:
    """The one encoding: compact JSON, keys sorted."""
    return _ENCODER.encode(spec)


def spec_hash(spec: JobSpec) -> Sha256:
    """sha256 of the canonical bytes."""
    return sha256_of(canonical(spec))


def sha256_of(text: bytes) -> Sha256:
    """The name of a spec whose canonical bytes are these."""
    return Sha256(hashlib.sha256(text).hexdigest())


def _located(message: str) -> tuple[str, str]:
    """msgspec says ``Expected … - at `$.deal``` ."""
    problem, found, path = message.rpartition(" - at `")
    text, where = (problem, path.rstrip("`")) if found else (message, "$")
    return text[:1].lower() + text[1:], where


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
    places += [(f"$.outputs[{i}].path", item.path) for i, item in enumerate(outputs)]
    for where, path in places:
        if not {"", ".", ".."}.isdisjoint(path.split("/")[1:]):
            raise InvalidSpec(where, f"expected an absolute path in its shortest form, got {path!r}")
        if path in seen:
            raise InvalidSpec(where, f"expected a path of its own: {path} is already at `{seen[path]}`")
        seen[path] = where
    names: set[str] = set()
    for i, output in enumerate(outputs):
        if output.name in RESULT_NAMES or output.name in names:
            raise InvalidSpec(f"$.outputs[{i}].name", f"expected a name of its own, got {output.name!r}")
        names.add(output.name)


def _check_engine(spec: JobSpec) -> None:
    for name, value in spec.engine.env.items():
        if not name or "=" in name or "\0" in name or len(name) > limits.ARG_BYTES_MAX:
            raise InvalidSpec(f"$.engine.env[{name[:40]!r}]", "expected a name without `=` and NUL")
        assert "\0" not in value
