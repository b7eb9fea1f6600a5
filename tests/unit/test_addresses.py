"""Which addresses a job's URL may lead to."""

from __future__ import annotations

import pytest

from node.errors import OperatorError
from node.storage.addresses import listed, networks, refusal


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "198.18.0.1",
        "224.0.0.1",
        "239.255.255.250",
        "255.255.255.255",
        "240.0.0.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "fc00::1",
        "fec0::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "100::1",
        "4000::1",
    ],
)
def test_what_is_not_public_is_refused_in_every_disguise(address):
    assert refusal(address)


@pytest.mark.parametrize(
    "address",
    [
        *("1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "223.255.255.255", "2606:4700::1111"),
        *("2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "168.63.129.17"),
    ],
)
def test_what_is_public_is_not_refused(address):
    assert refusal(address) is None


def test_an_operator_lists_networks_and_disguises_of_them_are_the_same():
    allowed = networks(["192.168.7.0/24", "fd00::/8"])
    assert listed("192.168.7.9", allowed)
    assert listed("::ffff:192.168.7.9", allowed)
    assert listed("64:ff9b::c0a8:709", allowed)
    assert listed("fd12::1", allowed)
    assert not listed("192.168.8.9", allowed)
    assert not listed("127.0.0.1", allowed)
    assert not listed("::1", allowed)


@pytest.mark.parametrize("text", ["192.168.7.1/24", "localhost", "", "10.0.0.0/33", "10.0.0.0/8,fd00::/8"])
def test_what_is_no_network_is_the_operators(text):
    with pytest.raises(OperatorError, match=r"--allow-url-cidr .*expected a network like"):
        networks([text])
