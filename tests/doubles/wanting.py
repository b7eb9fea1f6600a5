"""Three neighbours, blocks that are known by their numbers, and what is said of them.

Lives here: words for tests of ``bitswap.asking``. Does not live here: the tests.
"""

from __future__ import annotations

from doubles.peers import peer

from node.storage.ipfs.bitswap.asking import Asking
from node.storage.ipfs.bitswap.wire import Block, Message, Presence, Want
from node.storage.ipfs.cid import RAW, Cid

ANNA, BERT, CARL = peer(1), peer(2), peer(3)
CIRCLE = 7


def data(number: int) -> bytes:
    return b"block %d" % number


def cid(number: int) -> Cid:
    return Cid.of(data(number), RAW)


def block(number: int) -> Block:
    return Block(cid(number).raw[:-32], data(number))


def blocks(*numbers: int) -> Message:
    return Message(blocks=tuple(map(block, numbers)))


def haves(*numbers: int) -> Message:
    return Message(presences=tuple(Presence(cid(number).raw, has=True) for number in numbers))


def lacks(*numbers: int) -> Message:
    return Message(presences=tuple(Presence(cid(number).raw, has=False) for number in numbers))


def look(number: int) -> Want:
    return Want(cid(number).raw, have_is_enough=True, tells_dont_have=True)


def ask(number: int) -> Want:
    return Want(cid(number).raw, tells_dont_have=True)


def cancel(number: int) -> Want:
    return Want(cid(number).raw, 0, cancels=True)


def among(*peers: str) -> Asking:
    """One circle among these neighbours."""
    core = Asking()
    core.begin(CIRCLE)
    for one in peers:
        core.came(one, 0.0)
    return core


def with_holder(*numbers: int) -> Asking:
    """Anna has shown to be a holder, and is asked for these; Bert and Carl have not been told of them."""
    core = among(ANNA, BERT, CARL)
    core.open(CIRCLE, cid(0), 0.0)
    core.hear(ANNA, haves(0), 0.0)
    core.hear(ANNA, blocks(0), 0.0)
    for one in (ANNA, BERT, CARL):
        core.take(one)
    for number in numbers:
        core.open(CIRCLE, cid(number), 0.0)
    return core
