"""Key files: made once, never open to others, readable by openssl."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from node.errors import KeyFileError
from node.keyfile import load, load_or_create

# What ``openssl genpkey -algorithm ed25519`` wrote, and the first bytes of its public key (``openssl pkey -text``).
OPENSSL = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
"""
OPENSSL_PUBLIC = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"  # RFC 8032, test 1


def test_a_key_is_made_on_first_use_and_stays(tmp_path):
    path = tmp_path / "new" / "node.key"
    key = load_or_create(path)
    assert load_or_create(path) == load(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_key_of_openssl_is_read(tmp_path):
    path = tmp_path / "key"
    path.write_text(OPENSSL)
    path.chmod(0o600)
    assert bytes(load(path).verify_key).hex() == OPENSSL_PUBLIC


def test_two_that_begin_at_once_get_the_same_key(tmp_path):
    with ThreadPoolExecutor(8) as threads:
        keys = list(threads.map(lambda _: load_or_create(tmp_path / "key"), range(8)))
    assert len(set(map(bytes, keys))) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused_with_what_to_do(tmp_path, mode):
    path = tmp_path / "key"
    load_or_create(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        load(path)


@pytest.mark.parametrize("text", ["", "hello", OPENSSL.replace("MC4", "MC5"), OPENSSL[:70], "\xff" * 50, OPENSSL * 2])
def test_what_is_no_key_is_refused_and_left_alone(tmp_path, text):
    path = tmp_path / "key"
    path.write_text(text, "latin-1")
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="PKCS #8"):
        load_or_create(path)
    assert path.read_text("latin-1") == text


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileError):
        load_or_create(tmp_path / "file" / "key")
