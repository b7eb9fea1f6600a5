"""Every error has its answer, and none tells more than it should."""

from __future__ import annotations

import inspect

import pytest
from litestar.exceptions import HTTPException, MethodNotAllowedException, ValidationException

from node import errors
from node.api.problems import ANSWERS, problem_of

TREE = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, errors.NodeError)]


@pytest.mark.parametrize("cls", TREE, ids=lambda cls: cls.__name__)
def test_every_error_of_the_tree_has_its_own_line(cls):
    assert cls in ANSWERS


def test_whose_fault_it_is_decides_the_kind_of_status():
    for cls, answer in ANSWERS.items():
        is_callers = issubclass(cls, errors.JobError | errors.CallerError)
        assert (400 <= answer.status < 500) == is_callers, cls
        assert 400 <= answer.status < 600


def test_codes_are_stable():
    """Clients rely on them: changing one is a change of the API."""
    assert {cls.__name__: (answer.status, answer.code) for cls, answer in ANSWERS.items()} == {
        "NodeError": (500, "internal"),
        "JobError": (422, "job"),
        "InvalidSpec": (422, "invalid_spec"),
        "InvalidModule": (422, "invalid_module"),
        "ExecutionFailed": (422, "execution_failed"),
        "CallerError": (400, "bad_request"),
        "NotSignedIn": (401, "not_signed_in"),
        "Forbidden": (403, "forbidden"),
        "NotFound": (404, "not_found"),
        "Conflict": (409, "conflict"),
        "TooLarge": (413, "too_large"),
        "TooMany": (429, "too_many"),
        "PeerError": (502, "peer"),
        "MalformedMessage": (502, "peer_malformed"),
        "BadProposal": (502, "peer_proposal"),
        "BadResult": (502, "peer_result"),
        "PeerGone": (502, "peer_gone"),
        "NotSpoken": (502, "peer_gone"),
        "BlobRefused": (502, "peer_refused"),
        "ResourceError": (503, "unavailable"),
        "DriverUnavailable": (503, "driver_unavailable"),
        "StorageError": (503, "storage"),
        "Absent": (503, "storage"),
        "Unconfirmed": (503, "storage"),
        "NoRoom": (507, "no_room"),
        "OperatorError": (500, "operator"),
        "BadTemplate": (500, "operator"),
        "AddressInUse": (500, "operator"),
        "KeyFileError": (500, "operator"),
        "JournalError": (500, "operator"),
    }


def test_a_broken_rule_carries_the_path_of_the_field():
    problem = problem_of(errors.InvalidSpec("$.deal.concurrency", "expected int >= 1"))
    assert (problem.status, problem.code, problem.path) == (422, "invalid_spec", "$.deal.concurrency")
    assert problem.detail == "expected int >= 1 at `$.deal.concurrency`"
    assert problem.type == "urn:quorate:problem:invalid_spec"


def test_an_error_that_came_later_is_answered_as_its_base():
    class Novel(errors.Conflict):
        """Has no line."""

    assert problem_of(Novel("so")).code == "conflict"


@pytest.mark.parametrize(
    "error",
    [
        errors.JournalError("/root/secret/journal: cannot be written"),
        errors.NodeError("/root/secret"),
        AssertionError("/root/secret"),
        ValueError("/root/secret"),
        ExceptionGroup("/root/secret", [ValueError("/root/secret")]),
        HTTPException(detail="/root/secret", status_code=500),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_nodes_own_faults_are_not_told(error):
    problem = problem_of(error)
    assert problem.status == 500
    assert "secret" not in f"{problem}"


def test_what_litestar_refuses_has_the_same_form():
    problem = problem_of(MethodNotAllowedException())
    assert (problem.status, problem.code, problem.title) == (405, "method_not_allowed", "Method Not Allowed")
    assert problem_of(HTTPException(status_code=415)).code == "unsupported_media_type"
    assert problem_of(HTTPException(status_code=404)).code == "no_such_route"


def test_a_refused_parameter_is_named():
    error = ValidationException(detail="Validation failed", extra=[{"key": "limit", "message": "Expected `int` >= 1"}])
    assert problem_of(error).detail == "limit: Expected `int` >= 1"
