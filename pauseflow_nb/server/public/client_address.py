"""Find the address of the client that sent a request, also behind proxies.

Every client can send `X-Forwarded-For` and `X-Real-IP`. So only `X-Forwarded-For` from a trusted proxy counts, and of its
entries only those that trusted proxies have added: the address is the last entry that is not a trusted proxy.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

from tornado.httputil import HTTPServerRequest

from pauseflow_nb.settings import Network, parse_networks

_Address: TypeAlias = IPv4Address | IPv6Address

#: Entries of a header that are read, from its end.
_MOST_ENTRIES = 50


@dataclass(frozen=True)
class TrustedProxies:
    """The proxies whose `X-Forwarded-For` is trusted."""

    networks: tuple[Network, ...] = ()
    #: Whether every peer is a trusted proxy (`ServerApp.trust_xheaders`); only if `networks` is empty.
    trusts_peer: bool = False

    @classmethod
    def parse(cls, text: str | None, *, trusts_peer: bool = False) -> "TrustedProxies":
        """Read the setting `trusted_proxies`.

        Raises:
            ValueError: If a part is not an address or network; names it.
        """
        return cls(parse_networks(text or ""), trusts_peer)

    def find_client(self, request: HTTPServerRequest) -> str:
        """Find the address of the client that sent a request; empty for a Unix socket."""
        peer = _find_peer(request)
        address = _parse(peer)
        is_local = not peer  # a Unix socket: only a proxy on this machine connects to it
        if not (self._trusts(address) if self.networks else self.trusts_peer) and not (is_local and self.trusts_peer):
            return peer
        entries = request.headers.get("X-Forwarded-For", "").split(",")[-_MOST_ENTRIES:]
        for entry in reversed(entries):
            forwarded = _parse(entry)
            if forwarded is None:
                # No trusted proxy has written the entries before this one.
                break
            peer = str(forwarded)
            if not self._trusts(forwarded):
                break
        return peer

    def _trusts(self, address: _Address | None) -> bool:
        return address is not None and any(address in network for network in self.networks)


NO_PROXIES = TrustedProxies()


def rate_limit_key(address: str) -> str:
    """Return the key of a rate limit: an IPv4 address, or the /64 network of an IPv6 address, which one host may own."""
    parsed = _parse(address)
    return str(IPv6Network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else address


def _find_peer(request: HTTPServerRequest) -> str:
    # Not `remote_ip`: tornado sets it from X-Real-IP if Jupyter trusts a proxy.
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
