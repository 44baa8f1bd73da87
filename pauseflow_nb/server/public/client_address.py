"""Find the address that a request comes from, also behind proxies.

Anybody can write `X-Forwarded-For` and `X-Real-IP`. So a header counts only when a trusted proxy sends it, and of
`X-Forwarded-For` only what the trusted proxies themselves have added: its last entry that is not one of them.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

from tornado.httputil import HTTPServerRequest

from pauseflow_nb.settings import Network, parse_networks

__all__ = ["NO_PROXIES", "TrustedProxies", "rate_limit_key"]

_Address: TypeAlias = IPv4Address | IPv6Address

#: A header with more entries says nothing that we look for.
_MOST_ENTRIES = 50


@dataclass(frozen=True)
class TrustedProxies:
    """Which proxies say whom they forward a request for."""

    networks: tuple[Network, ...] = ()
    #: Whether whatever connects to us is a trusted proxy (`ServerApp.trust_xheaders`). Only where `networks` is empty.
    trusts_peer: bool = False

    @classmethod
    def parse(cls, text: str | None, *, trusts_peer: bool = False) -> "TrustedProxies":
        """Read the setting `trusted_proxies`.

        Raises:
            ValueError: Naming what is no address or network.
        """
        return cls(parse_networks(text or ""), trusts_peer)

    def client_of(self, request: HTTPServerRequest) -> str:
        """Give the address of the client that sent a request; empty for a Unix socket."""
        peer = _peer_of(request)
        address = _parse(peer)
        is_local = not peer  # a Unix socket, which only a proxy on this machine connects to
        if not (self._trusts(address) if self.networks else self.trusts_peer) and not (is_local and self.trusts_peer):
            return peer
        entries = request.headers.get("X-Forwarded-For", "").split(",")[-_MOST_ENTRIES:]
        for entry in reversed(entries):
            forwarded = _parse(entry)
            if forwarded is None:
                # Whatever stands before it was not written by a proxy that we trust.
                break
            peer = str(forwarded)
            if not self._trusts(forwarded):
                break
        return peer

    def _trusts(self, address: _Address | None) -> bool:
        return address is not None and any(address in network for network in self.networks)


NO_PROXIES = TrustedProxies()


def rate_limit_key(address: str) -> str:
    """Give what is limited together: an IPv4 address, or the 64 bits of an IPv6 network that one host may have whole."""
    parsed = _parse(address)
    return str(IPv6Network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else address


def _peer_of(request: HTTPServerRequest) -> str:
    # Not `remote_ip`, into which tornado writes X-Real-IP where Jupyter trusts a proxy.
    address = getattr(getattr(request.connection, "context", None), "address", None)
    return str(address[0]) if isinstance(address, tuple) and address else ""


def _parse(text: str) -> _Address | None:
    """Read an address, also with a port or in brackets, as some proxies write it."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
