"""Serving wss://, and what is said of files that cannot be used for it."""

import json
import ssl
from pathlib import Path

import pytest
import trustme
from websockets.asyncio.client import connect

from tapecast.errors import ConfigError
from tapecast.server import tls_context

from .server_fakes import Serve, receive


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def written(tmp_path: Path, cert: trustme.LeafCert) -> tuple[str, str]:
    """Return the paths of a certificate chain and its key."""
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in cert.cert_chain_pems))
    key.write_bytes(cert.private_key_pem.bytes())
    return str(chain), str(key)


async def test_the_stream_is_served_over_tls(
    serve: Serve, tmp_path: Path, authority: trustme.CA
) -> None:
    server = tls_context(*written(tmp_path, authority.issue_cert("localhost")))
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)
    async with serve(tls=server) as served:
        url = f"wss://localhost:{served.listener.port}/ws/status"
        async with connect(
            url, ssl=client_side, proxy=None, host="127.0.0.1", max_size=None
        ) as client:
            await client.send(json.dumps({"action": "subscribe", "topic": "status"}))
            assert (await receive(client))["type"] == "snapshot"
            for _ in range(20):
                served.hub.publish(served.engine.trades(300))
            seqs = [(await receive(client))["seq"] for _ in range(6_000)]
            assert seqs == list(range(1, 6_001))
            encryption = client.transport.get_extra_info("ssl_object")
            assert encryption.version() in ("TLSv1.2", "TLSv1.3")


def test_nothing_older_than_tls_1_2_is_spoken(tmp_path: Path, authority: trustme.CA) -> None:
    context = tls_context(*written(tmp_path, authority.issue_cert("localhost")))
    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_without_files_there_is_no_tls() -> None:
    assert tls_context(None, None) is None


def test_one_file_without_the_other_is_a_mistake() -> None:
    with pytest.raises(ConfigError) as failed:
        tls_context("c.pem", None)
    assert (
        str(failed.value) == "server.tls_key: nothing, expected a path, as server.tls_cert is set"
    )
    with pytest.raises(ConfigError) as failed:
        tls_context(None, "k.pem")
    assert (
        str(failed.value) == "server.tls_cert: nothing, expected a path, as server.tls_key is set"
    )


def test_a_missing_file_is_named(tmp_path: Path, authority: trustme.CA) -> None:
    chain, key = written(tmp_path, authority.issue_cert("localhost"))
    with pytest.raises(ConfigError) as failed:
        tls_context(chain, f"{key}x")
    why = "no such file or directory, expected a readable file"
    assert str(failed.value) == f"server.tls_key: {key}x: {why}"
    with pytest.raises(ConfigError) as failed:
        tls_context(str(tmp_path), key)
    why = "is a directory, expected a readable file"
    assert str(failed.value) == f"server.tls_cert: {tmp_path}: {why}"


def test_a_key_of_another_certificate_is_named(tmp_path: Path, authority: trustme.CA) -> None:
    chain, key = written(tmp_path, authority.issue_cert("localhost"))
    Path(key).write_bytes(authority.issue_cert("localhost").private_key_pem.bytes())
    with pytest.raises(ConfigError) as failed:
        tls_context(chain, key)
    why = "expected the private key of server.tls_cert"
    assert str(failed.value) == f"server.tls_key: {key}, {why}"


@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_what_is_no_certificate_is_named(
    tmp_path: Path, authority: trustme.CA, content: bytes
) -> None:
    chain, key = written(tmp_path, authority.issue_cert("localhost"))
    Path(chain).write_bytes(content)
    with pytest.raises(ConfigError) as failed:
        tls_context(chain, key)
    assert str(failed.value) == (
        f"server.tls_cert: {chain} with {key}, expected a certificate chain and its private key "
        "without a password, both PEM"
    )
