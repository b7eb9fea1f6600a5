"""Who may come: any key on loopback, listed keys elsewhere."""

from __future__ import annotations

import os

import pytest

from node.api.admission import AnyKey, ListedKeys, admission_for, list_without_effect, parse_clients
from node.errors import Forbidden, OperatorError
from node.model import ClientId

ALICE, BOB = ClientId("a1" * 32), ClientId("b0" * 32)
LINE = f"ed25519 {ALICE} alice at home\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_any_key_may_come_to_a_loopback_address(host):
    assert isinstance(admission_for(host, None), AnyKey)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", ""])
def test_elsewhere_there_must_be_a_list(host, tmp_path):
    with pytest.raises(OperatorError, match="--authorized-clients"):
        admission_for(host, None)
    assert isinstance(admission_for(host, tmp_path / "list"), ListedKeys)


@pytest.mark.parametrize("host", [None, "127.0.0.1:1234", "localhost", "LocalHost:80", "[::1]:1234", "192.168.0.7:1"])
def test_a_request_that_names_an_address_is_local(host):
    AnyKey().check(ALICE, host)


@pytest.mark.parametrize("host", ["evil.example:1", "localhost.evil.example", "127.0.0.1.evil.example", "", "[evil]"])
def test_a_page_that_points_its_own_name_to_loopback_is_refused(host):
    with pytest.raises(Forbidden, match="loopback"):
        AnyKey().check(ALICE, host)


def test_a_list_that_does_nothing_is_told_of(tmp_path):
    path = tmp_path / "list"
    assert "loopback" in list_without_effect(admission_for("127.0.0.1", path), path)
    assert "no such file" in list_without_effect(admission_for("0.0.0.0", path), path)
    path.write_text(LINE)
    assert list_without_effect(admission_for("0.0.0.0", path), path) == ""
    assert list_without_effect(admission_for("127.0.0.1", None), None) == ""


def test_lines_comments_and_blanks():
    text = f"# ours\n\n{LINE}   ed25519\t{BOB}  bob # builds\n"
    assert parse_clients(text, "f") == {ALICE: "alice at home", BOB: "bob"}


@pytest.mark.parametrize(
    "line",
    [
        "ed25519",
        f"ed25519 {ALICE}",
        f"ed25519 {ALICE} # no name",
        f"rsa {ALICE} alice",
        f"ed25519 {ALICE[:-1]} alice",
        f"ed25519 {ALICE.upper()} alice",
        f"ed25519 {'g' * 64} alice",
    ],
)
def test_a_malformed_line_is_named(line):
    with pytest.raises(OperatorError, match="clients:2: expected"):
        parse_clients(f"# first\n{line}\n", "clients")


def test_listed_keys_are_admitted_and_others_told_which_line_to_ask_for(tmp_path):
    path = tmp_path / "clients"
    path.write_text(LINE)
    admission = ListedKeys(path)
    admission.check(ALICE, "node.example")
    with pytest.raises(Forbidden, match=f"ed25519 {BOB} <your name>"):
        admission.check(BOB, "node.example")


def rewrite(path, text, age_s):
    """A new content with a modification time of its own, however coarse the filesystem's clock is."""
    path.write_text(text)
    os.utime(path, (1_700_000_000 + age_s, 1_700_000_000 + age_s))


def test_a_changed_list_counts_at_once(tmp_path):
    path = tmp_path / "clients"
    rewrite(path, LINE, 1)
    admission = ListedKeys(path)
    rewrite(path, f"ed25519 {BOB} bobby at home\n", 2)
    admission.check(BOB, None)
    with pytest.raises(Forbidden):
        admission.check(ALICE, None)


def test_a_list_that_becomes_malformed_is_not_taken(tmp_path):
    path = tmp_path / "clients"
    rewrite(path, LINE, 1)
    admission = ListedKeys(path)
    rewrite(path, "rubbish\n", 2)
    admission.check(ALICE, None)
    with pytest.raises(Forbidden):
        admission.check(BOB, None)


def test_a_list_that_goes_away_admits_nobody_and_one_that_comes_counts(tmp_path):
    path = tmp_path / "clients"
    admission = ListedKeys(path)
    with pytest.raises(Forbidden):
        admission.check(ALICE, None)
    rewrite(path, LINE, 1)
    admission.check(ALICE, None)
    path.unlink()
    with pytest.raises(Forbidden):
        admission.check(ALICE, None)


def test_a_malformed_or_huge_or_unreadable_list_stops_the_start(tmp_path):
    path = tmp_path / "clients"
    path.write_text("rubbish\n")
    with pytest.raises(OperatorError, match="clients:1"):
        ListedKeys(path)
    path.write_text("#" * (1 << 21))
    with pytest.raises(OperatorError, match="at most"):
        ListedKeys(path)
    with pytest.raises(OperatorError, match="cannot be read"):
        ListedKeys(tmp_path)
