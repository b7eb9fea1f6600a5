"""``peers``: who a node is connected to."""

from __future__ import annotations

from cli import output
from cli.exits import Exit
from cli.flags import Form, Node, flat


@flat
def peers(node: Node, form: Form) -> Exit:
    """The peers that a node has a session with, one id a line."""
    from cli.client import Client

    with Client(node.api) as client:
        found = client.peers()
        asked = client.node()
    if form.as_json:
        output.json_data(found)
        return Exit.DONE
    output.say(f"node {asked.peer_id} has {len(found.peers)} peers")
    if not found.peers:
        output.say(
            f"  others join it with `{output.program()} serve --peer {next(iter(asked.addresses), 'MULTIADDR')}`"
        )
    for peer in found.peers:
        output.data(peer)
    return Exit.DONE
