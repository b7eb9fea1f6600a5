"""Ed25519 private keys in files: PKCS #8 PEM (RFC 8410), as ``openssl pkey`` reads and writes it, mode 0600.

The same for nodes (``<data dir>/node.key``) and for clients (``client.key``).
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
import tempfile
from pathlib import Path

from nacl.signing import SigningKey

from node.errors import KeyFileError

_BEGIN, _END = "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"
_PKCS8_HEAD = bytes.fromhex("302e020100300506032b657004220420")
_FILE_BYTES_MAX = 4096


def load(path: Path) -> SigningKey:
    """The key in a file. Raises FileNotFoundError, KeyFileError (open to others, malformed, not ours to read)."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(_FILE_BYTES_MAX)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise KeyFileError(f"{path}: the key cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise KeyFileError(f"{path}: others may read this key (mode {mode:04o}); run: chmod 600 {path}")
    return _parsed(path, text)


def load_or_create(path: Path) -> SigningKey:
    """The key in a file, made on first use. Two processes that begin at once get the same key. Raises KeyFileError."""
    try:
        return load(path)
    except FileNotFoundError:
        pass
    key = SigningKey.generate()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_new(path, _rendered(key))
    except FileExistsError:
        return load(path)
    except OSError as error:
        raise KeyFileError(f"{path}: a key cannot be made here: {error.strerror}") from error
    return key


def _write_new(path: Path, text: str) -> None:
    """The whole file under its name, or nothing. Raises FileExistsError when somebody else was first."""
    handle, fresh = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
        os.link(fresh, path)
    finally:
        os.unlink(fresh)


def _rendered(key: SigningKey) -> str:
    body = base64.b64encode(_PKCS8_HEAD + bytes(key)).decode()
    return f"{_BEGIN}\n{body}\n{_END}\n"


def _parsed(path: Path, text: bytes) -> SigningKey:
    lines = text.decode("ascii", "replace").split()
    body = "".join(lines[3:-3])  # BEGIN, PRIVATE and KEY are words of their own
    try:
        raw = base64.b64decode(body, validate=True)
    except binascii.Error:
        raw = b""
    if not raw.startswith(_PKCS8_HEAD) or len(raw) != len(_PKCS8_HEAD) + 32:
        raise KeyFileError(
            f"{path}: expected an Ed25519 key in PKCS #8 PEM; move the file away to have a new one made,"
            " or restore it from a backup"
        )
    return SigningKey(raw[len(_PKCS8_HEAD) :])
