"""The client's own key: where it is, and that it is made on first use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from cli import output
from cli.flags import config_home

if TYPE_CHECKING:
    from nacl.signing import SigningKey

NODE_KEY = "node.key"  # In a node's data folder.


def client_key_file() -> Path:
    """``$QUORATE_KEY``, or ``client.key`` in the configuration folder."""
    given = os.environ.get("QUORATE_KEY")
    return Path(given) if given else config_home() / "client.key"


def client_key() -> SigningKey:
    """Who the caller is. Says so once, when the key is made. Raises KeyFileError."""
    from node.keyfile import load, load_or_create

    path = client_key_file()
    try:
        return load(path)
    except FileNotFoundError:
        key = load_or_create(path)
    output.say(f"made your key {path}: jobs and results belong to whoever has it, so keep it", "dim")
    return key
