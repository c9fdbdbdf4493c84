"""What `wss://` is served with."""

import os
import ssl
from pathlib import Path

from tapecast.errors import ConfigError

__all__ = ["tls_context"]


def tls_context(cert: str | None, key: str | None) -> ssl.SSLContext | None:
    """Return what to serve TLS with, 1.2 or newer; None if there shall be none.

    Args:
        cert: Path of the certificate chain (PEM).
        key: Path of its private key (PEM), without a password.

    Raises:
        ConfigError: If one is given without the other, or cannot be used.
    """
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        missing, given = ("cert", "key") if cert is None else ("key", "cert")
        raise ConfigError(
            f"server.tls_{missing}: nothing, expected a path, as server.tls_{given} is set"
        )
    _check_readable("server.tls_cert", cert)
    _check_readable("server.tls_key", key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # Without a password of our own the library would ask the terminal for one.
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        problem = (
            f"server.tls_key: {key}, expected the private key of server.tls_cert"
            if error.reason == "KEY_VALUES_MISMATCH"
            else f"server.tls_cert: {cert} with {key}, expected a certificate chain and its "
            "private key without a password, both PEM"
        )
        raise ConfigError(problem) from error
    return context


def _check_readable(setting: str, path: str) -> None:
    """Raise ConfigError unless a file can be read."""
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise ConfigError(f"{setting}: {path}: {reason}, expected a readable file") from error
