"""Which addresses are fetched from: nothing that leads into the lab's own network, however it is written."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest

from catalog.harvest.reach import Reach
from datalab.errors import RefusedError, ServiceFailedError
from datalab.settings import Harvesting

PUBLIC = Reach(Harvesting())
HERE = Reach(Harvesting(loopback=True))


@pytest.mark.parametrize(
    "address",
    [
        "http://portal.example/catalogue.ttl",
        "ftp://portal.example/catalogue.ttl",
        "file:///etc/passwd",
        "https://user:secret@portal.example/",
        "https://user@portal.example/",
        "https:///catalogue.ttl",
        "//portal.example/",
        "http://127.0.0.1:8440/",
        "http://localhost/",
        "javascript:alert(1)",
        "https://[::1",
    ],
)
def test_an_address_is_refused_for_what_it_says(address: str) -> None:
    with pytest.raises(RefusedError) as refused:
        PUBLIC.check(address)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8440/", "http://localhost/", "http://[::1]:8440/", "https://x.example"]
)
def test_plain_http_is_for_this_machine_where_the_settings_say_so(address: str) -> None:
    assert HERE.check(address)
    with pytest.raises(RefusedError, match="https only"):
        HERE.check("http://portal.example/")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1.2.3",
        "0.0.0.0",
        "10.0.0.8",
        "172.16.1.1",
        "192.168.1.1",
        "169.254.169.254",  # a cloud's metadata service
        "100.64.0.1",
        "192.0.2.1",
        "224.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",  # the same, by IPv6
        "[ff02::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",  # 169.254.169.254 behind NAT64
        "[2002:7f00:1::]",  # 127.0.0.1 by 6to4
        "localhost",
        "2130706433",  # 127.0.0.1 as a number
        "0x7f.1",
        "127.1",
    ],
)
def test_a_host_that_is_not_public_is_refused(host: str) -> None:
    with pytest.raises((RefusedError, ServiceFailedError)):
        PUBLIC.resolve(PUBLIC.check(f"https://{host}/catalogue.ttl"))


def test_a_public_address_is_taken_and_a_host_that_the_operator_lists() -> None:
    assert PUBLIC.resolve(PUBLIC.check("https://9.9.9.9/")) == "9.9.9.9"
    assert PUBLIC.resolve(PUBLIC.check("https://[2620:fe::fe]/")) == "2620:fe::fe"
    listed = Reach(Harvesting(hosts=("10.0.0.8",)))
    assert listed.resolve(listed.check("https://10.0.0.8/")) == "10.0.0.8"
    with pytest.raises(RefusedError, match="not public"):
        listed.resolve(listed.check("https://10.0.0.9/"))


def test_a_name_that_leads_here_is_not_this_machine_unless_it_says_so() -> None:
    """A public name that its owner points at 127.0.0.1 (rebinding) is no way in, loopback allowed or not."""
    name = socket.gethostname()
    addresses = {ip_address(one[4][0]) for one in socket.getaddrinfo(name, 443)}
    assert not any(one.is_global for one in addresses), "this test needs a name of this machine"
    for reach in (PUBLIC, HERE):
        with pytest.raises(RefusedError, match="not public"):
            reach.resolve(reach.check(f"https://{name}/"))
    assert HERE.resolve(HERE.check("http://127.0.0.1/")) == "127.0.0.1"
