"""Every exception this package raises on purpose, in one tree, arranged by whose fault it is.

* NodeError
  - JobError              the submitter's; never retried; shown to the user
    - InvalidSpec           a rule of the job spec is broken; carries the path of the field
    - InvalidModule         the bytes are not a WASM module we run
    - ExecutionFailed       the workload was ended: by a trap, a limit, a module that does not compile
  - CallerError           the HTTP caller's or the command line's
    - NotSignedIn           no token, or one that does not hold
    - Forbidden             a key that this node does not admit
    - NotFound              no such job, file or module *of this client*
    - Conflict              the job is in a state in which this cannot be asked
    - TooLarge              the body is over a limit
    - TooMany               the caller has reached a quota; later, or after deleting, it may be asked again
  - PeerError             a remote peer's; costs them, never us
    - MalformedMessage      a frame that is no message
    - BadProposal           a proposal that does not open, or is not bound to where it came from
    - BadResult             what was handed over is not what won
    - PeerGone              the peer went away, or does not answer in time
      - NotSpoken             the peer speaks none of the protocols it was asked for
    - BlobRefused           the peer says it will not serve this
  - ResourceError         this machine's; another machine, or a later moment, may do better
    - DriverUnavailable     an engine or a storage backend is missing or down
    - StorageError          the data cannot be used, or not be had
      - Absent                it is not here, and nobody who was asked has it
      - Unconfirmed           the data is here and does not give its CID
    - NoRoom                a limit of this node is reached
  - OperatorError         the configuration's; stops ``serve`` before it starts
    - BadTemplate           ``--filecoin-unsealed-path`` does not parse or names an unknown field
    - AddressInUse          somebody else listens there
    - KeyFileError          a key file is unreadable, malformed or open to others
    - JournalError          the journal cannot be opened or written

A bug is an ``AssertionError``; it is not in this tree and nobody catches it.
"""

from __future__ import annotations


class NodeError(Exception):
    """Base of all errors a caller may reasonably handle."""


class JobError(NodeError):
    """The job itself cannot succeed, here or anywhere."""


class InvalidSpec(JobError):
    """The spec breaks a rule; ``path`` names the field as in ``$.deal.concurrency``."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{problem} at `{path}`")
        self.path = path
        self.problem = problem


class InvalidModule(JobError):
    """The bytes are no WASM module, or one that asks for more than this engine gives."""


class ExecutionFailed(JobError):
    """The workload did not end by itself; ``code`` is one of ``model.FailureCode``."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class CallerError(NodeError):
    """The request is at fault."""


class NotSignedIn(CallerError):
    """No token, or one that does not hold."""


class Forbidden(CallerError):
    """The key is genuine and not admitted here."""


class NotFound(CallerError):
    """There is no such thing of this client's."""


class Conflict(CallerError):
    """The state does not allow it."""


class TooLarge(CallerError):
    """The body is over a limit."""


class TooMany(CallerError):
    """A quota of this client is reached."""


class PeerError(NodeError):
    """A remote peer broke the protocol or went away."""


class MalformedMessage(PeerError):
    """A frame did not decode to a known message."""


class BadProposal(PeerError):
    """A proposal that does not open, or is bound to something else."""


class BadResult(PeerError):
    """A winner handed over something other than what won."""


class PeerGone(PeerError):
    """The peer disconnected, cannot be reached or does not answer in time."""


class NotSpoken(PeerGone):
    """The peer is there and speaks none of the protocols it was asked for."""


class BlobRefused(PeerError):
    """The peer answers that it will not serve this blob."""


class ResourceError(NodeError):
    """This machine cannot do it now; another one, or a later moment, may."""


class DriverUnavailable(ResourceError):
    """A backend (engine, storage) is missing or down."""


class StorageError(ResourceError):
    """The data cannot be used as it lies there, or cannot be had."""


class Absent(StorageError):
    """The data is not here, and nobody who was asked has it: nothing is wrong with this machine."""


class Unconfirmed(StorageError):
    """Bytes that were to be checked do not give the CID that they go by."""


class NoRoom(ResourceError):
    """A limit of this node is reached."""


class OperatorError(NodeError):
    """The node cannot run as configured; the message says what to change."""


class BadTemplate(OperatorError):
    """An unsealed-path template that cannot be used."""


class AddressInUse(OperatorError):
    """The address to listen on cannot be had."""


class KeyFileError(OperatorError):
    """A key file that must not be used as it is."""


class JournalError(OperatorError):
    """The journal cannot be opened or written."""
