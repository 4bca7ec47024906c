"""Which addresses a harvest may fetch from: public ones by HTTPS, and what the operator lists; nothing else.

A name is resolved once, all that it resolves to is looked at, and the connection goes to what was looked at. So neither
a catalogue nor its name server can lead the lab to its own machine, its network, or a cloud's metadata service.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import httpx

from datalab.errors import RefusedError, ServiceFailedError
from datalab.settings import Harvesting

_IP = IPv4Address | IPv6Address
_NAT64 = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True)
class Reach:
    """What may be fetched from, by the operator's settings."""

    settings: Harvesting

    def check(self, address: str) -> httpx.URL:
        """Return an address that may be asked for, as far as it says itself.

        Raises:
            RefusedError: it is not HTTPS, names a user, or is on this machine where that is not allowed.
        """
        try:
            url = httpx.URL(address)
        except httpx.InvalidURL as error:
            raise RefusedError("This is not an address.", next_step="Give one that begins with https://.") from error
        if not url.host or url.userinfo:
            raise RefusedError(
                "An address of a catalogue names a host, and neither user nor password.", next_step="Take them out."
            )
        if url.scheme != "https" and not (url.scheme == "http" and self.settings.loopback and _is_loopback(url.host)):
            raise RefusedError(
                "Catalogues are fetched by https only.",
                where=f"{url.scheme}://{url.host}",
                next_step="Give an address with https; of this machine, http is taken where [harvest] loopback = true.",
            )
        return url

    def resolve(self, url: httpx.URL) -> str:
        """Return the one IP address that a checked address is fetched from.

        Raises:
            RefusedError: its name leads to an address that is not public.
            ServiceFailedError: there is no such name.
        """
        host = url.host.rstrip(".")
        try:
            found = socket.getaddrinfo(host, url.port or 443, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise ServiceFailedError(
                "The name of the catalogue's host is not known.", where=host, next_step="Check the address."
            ) from error
        addresses = [ip_address(str(one[4][0]).partition("%")[0]) for one in found]
        if any(not self._may(host, one) for one in addresses):
            raise RefusedError(
                "The catalogue's host is in a network that is not public.",
                where=host,
                next_step="If it may be fetched from, name it in datalab.toml: [harvest] hosts.",
            )
        return str(addresses[0])

    def _may(self, host: str, address: _IP) -> bool:
        if host in self.settings.hosts:
            return True
        address = _plain(address)
        if address.is_loopback:
            return self.settings.loopback and _is_loopback(host)
        return address.is_global and not address.is_multicast and not address.is_reserved


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _plain(address: _IP) -> _IP:
    """Return the IPv4 address that an IPv6 address stands for, where it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None) or address
