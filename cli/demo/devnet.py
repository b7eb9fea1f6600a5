"""``devnet``: several nodes that stay, and what to type to talk to them.

Lives here: what it says, and that it goes on until it is told to end. Does not live here: processes (``nodes``).
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cli.demo.data import copied, standard_library
from cli.demo.nodes import Network, NodesError, Plan, ending_on_signals, running, signals_held
from cli.demo.program import census
from cli.exits import Exit
from cli.output import json_data, program, say


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Which network."""

    nodes: int = 5
    folder: Path | None = None  # keys, journals, results; None: a temporary one that goes with the network
    as_json: bool = False


class NodeLine(msgspec.Struct, frozen=True, kw_only=True):
    """One node, for programs."""

    name: str
    peer_id: str
    api_url: str
    addresses: tuple[str, ...]
    log: str


class Lines(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--json`` prints once all nodes are ready."""

    nodes: tuple[NodeLine, ...]
    unsealed: str
    cid: str


def devnet(wish: Wish) -> Exit:
    """Keep a network running until Ctrl-C or SIGTERM. Raises NodesError when it cannot, or no node is left."""
    try:
        with ending_on_signals(), _folder(wish.folder) as folder:
            unsealed = folder / "unsealed"
            sample = copied(standard_library(), unsealed)
            plan = Plan(folder=folder, count=wish.nodes, unsealed=f"{unsealed}/{{{{ cid }}}}")
            say(f"starting {wish.nodes} nodes on loopback")
            with running(plan) as network:
                _introduce(network, unsealed, sample.cid, as_json=wish.as_json)
                _watch(network)
    except KeyboardInterrupt:
        say("every node has ended")
    return Exit.DONE


@contextlib.contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield given.absolute()
        return
    temporary = tempfile.TemporaryDirectory(prefix="quorate-devnet-", ignore_cleanup_errors=True)
    try:
        yield Path(temporary.name)
    finally:
        with signals_held():
            temporary.cleanup()


def _introduce(network: Network, unsealed: Path, cid: str, *, as_json: bool) -> None:
    nodes = network.nodes
    for node in nodes:
        say(f"  {node.name}  {node.api_url}  {node.peer_id}")
    deal = f"--verifier deterministic --concurrency {len(nodes)} --min-bids {len(nodes)}"
    lines = [
        "To talk to it, in another terminal:",
        f"  export QUORATE_API={nodes[0].api_url}",
        f"  {program()} wasm run {census()} -v {cid}:/inputs {deal} --download",
        f"  {program()} job list",
        f"Data: each node has what lies in {unsealed}/CID; the CID above is Python's standard library.",
        f"Logs: {nodes[0].log.parent}",
        "Ctrl-C ends all of them.",
    ]
    for line in lines:
        say(line)
    if as_json:
        shown = tuple(
            NodeLine(
                name=node.name,
                peer_id=node.peer_id,
                api_url=node.api_url,
                addresses=node.addresses,
                log=str(node.log),
            )
            for node in nodes
        )
        json_data(Lines(nodes=shown, unsealed=str(unsealed), cid=cid))


def _watch(network: Network) -> None:
    """A node may end before the others: somebody tries what happens then."""
    for left in range(len(network.nodes) - 1, -1, -1):
        node = network.next_end()
        say(f"{node.name} has ended, {left} are left; its log: {node.log}")
    raise NodesError("every node has ended by itself", "their logs say why")
