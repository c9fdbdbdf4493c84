"""Who may connect: pages of which hosts, with which token, from which addresses. No I/O."""

import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from websockets.http11 import Request

from tapecast.errors import ConfigError

__all__ = ["Access", "address_key", "check_exposure"]

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_BEARER: Final = "bearer "
_SITE_BITS: Final = 64
"""What one subscriber of a provider gets of IPv6 addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may have the stream.

    Attributes:
        allowed_origins: Pages of other hosts that may connect, as `https://HOST`.
        token: What clients must send as `Authorization: Bearer …` or as `?token=…`; None for
            nothing.
    """

    allowed_origins: Iterable[str] = ()
    # It must not get into a log.
    token: str | None = field(default=None, repr=False)

    def allows_origin(self, request: Request) -> bool:
        """Return whether the page that a browser says it is on may connect.

        A page may if it came from the host that it connects to. Clients that are not browsers send
        no origin, and may.
        """
        origins = request.headers.get_all("Origin")
        if not origins:
            return True
        if len(origins) > 1:
            return False
        origin = _parts(origins[0])
        if origin is None:
            return False
        hosts = request.headers.get_all("Host")
        same = _parts(f"{origin[0]}://{hosts[0]}") if len(hosts) == 1 else None
        return origin == same or origin in map(_parts, self.allowed_origins)

    def allows_token(self, request: Request) -> bool:
        """Return whether the request carries the token, if one is needed.

        Browsers cannot set headers of a WebSocket handshake, so that it may stand in the query.
        """
        if self.token is None:
            return True
        found = [
            header[len(_BEARER) :].strip()
            for header in request.headers.get_all("Authorization")
            if header.lower().startswith(_BEARER)
        ]
        query = request.path.partition("?")[2]
        found += [value for name, value in parse_qsl(query) if name == "token"]
        expected = self.token.encode()
        matches = [hmac.compare_digest(_encoded(token), expected) for token in found]
        return any(matches)


def check_exposure(host: str, *, token: str | None, allow_public: bool) -> None:
    """Raise ConfigError if anyone could connect who reaches this host, and nobody said so.

    Args:
        host: The address that is listened on.
        token: What clients must send.
        allow_public: Whether anyone shall be able to connect.
    """
    if token is None and not allow_public and not _is_loopback(host):
        raise ConfigError(f'host: "{host}", expected a loopback address, a token or allow_public')


def address_key(host: str) -> str | None:
    """Return what counts as one address; None for this host itself.

    IPv6 addresses count by their first 64 bits, and an IPv4 address counts as such however it is
    written.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host or None
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        if mapped is None:
            site = ipaddress.ip_network((int(address), _SITE_BITS), strict=False)
            return None if address.is_loopback else str(site)
        address = mapped
    return None if address.is_loopback else str(address)


def _is_loopback(host: str) -> bool:
    """Return whether only this host can reach an address; of names, only one is known to be so."""
    if host.lower() == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return address_key(host) is None


def _parts(origin: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of an origin; None if it is none, such as `null`."""
    try:
        url = urlsplit(origin.rstrip("/"))
        port = url.port
    except ValueError:
        return None
    if url.scheme not in _DEFAULT_PORTS or not url.hostname or url.path or url.username:
        return None
    return url.scheme, url.hostname, port or _DEFAULT_PORTS[url.scheme]


def _encoded(token: str) -> bytes:
    """Return a token as bytes, whatever a client has sent."""
    return token.encode(errors="surrogateescape")
