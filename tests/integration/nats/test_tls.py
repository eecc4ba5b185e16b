"""The bus behind TLS: real servers, whose certificates are good, old or another's, and who want one of ours or not."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from pydantic import ValidationError

from codestory import cancelling
from codestory.bus import Bus
from codestory.bus_settings import BusSettings
from codestory.testing import NatsProcess, NatsServer, free_port, servers_in_containers, wait_until

pytestmark = pytest.mark.skipif(servers_in_containers(), reason="the server's certificate is for this machine")

LONG_AGO = datetime.now(UTC) - timedelta(days=9)
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> Path:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


Serve = Callable[..., NatsServer]


@pytest.fixture
def serve(authority: trustme.CA, ca: Path, tmp_path: Path) -> Iterator[Serve]:
    """A server that speaks TLS; `more`: what else its `tls` says."""
    started: list[NatsServer] = []

    def start(host: str = HOST, *, expired: bool = False, more: str = "") -> NatsServer:
        since, until = (LONG_AGO, LONG_AGO + timedelta(days=1)) if expired else (None, None)
        made = authority.issue_cert(host, not_before=since, not_after=until, key_type=trustme.KeyType.ECDSA)
        made.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
        config = tmp_path / "tls.conf"
        pem = tmp_path / "server.pem"
        config.write_text(f'tls {{ cert_file: "{pem}", key_file: "{pem}", ca_file: "{ca}", timeout: 10 {more} }}\n')
        started.append(NatsServer(users=config))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.close()


def settings(server: NatsServer, **more: object) -> BusSettings:
    url = server.url.replace("nats://", "tls://")
    return BusSettings.model_validate({"nats_url": url, "nats_reconnect_seconds": 0.05} | more)


@asynccontextmanager
async def connected(chosen: BusSettings) -> AsyncGenerator[Bus]:
    bus = Bus(chosen, "test")
    try:
        async with asyncio.timeout(30):
            await bus.connect()
        yield bus
    finally:
        await bus.close()


async def complaint(chosen: BusSettings, caplog: pytest.LogCaptureFixture) -> str:
    """What is said, once, of a bus that does not let us in, and that is asked again and again."""
    caplog.set_level(logging.INFO)
    bus = Bus(chosen, "test")
    asking = asyncio.create_task(bus.connect())

    async def said() -> bool:
        return "bus.refused" in caplog.text

    try:
        await wait_until(said, "it says what is wrong")
        assert not asking.done()
    finally:
        await cancelling.end(asking)
        await bus.close()
    return "".join(str(vars(record)) for record in caplog.records)


async def test_with_its_authority_the_server_is_spoken_to(serve: Serve, ca: Path) -> None:
    async with connected(settings(serve(), nats_tls_ca_file=ca)) as bus:
        await bus.nc.flush()

        assert bus.connected


@pytest.mark.parametrize(
    ("host", "expired", "known", "advice"),
    [
        (HOST, True, True, "expired"),
        ("nats.example", False, True, "CODESTORY_NATS_URL must name the server"),
        (HOST, False, False, "CODESTORY_NATS_TLS_CA_FILE"),
    ],
    ids=["expired", "of another host", "signed by nobody we know"],
)
async def test_a_certificate_that_is_no_good_is_refused_with_what_to_do(
    serve: Serve, ca: Path, caplog: pytest.LogCaptureFixture, host: str, advice: str, *, expired: bool, known: bool
) -> None:
    server = serve(host, expired=expired)

    said = await complaint(settings(server, **({"nats_tls_ca_file": ca} if known else {})), caplog)

    assert advice in said


async def test_a_server_that_wants_to_know_us_takes_our_certificate(
    serve: Serve, authority: trustme.CA, ca: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours = authority.issue_cert("orchestrator", key_type=trustme.KeyType.ECDSA)
    ours.private_key_pem.write_to_path(tmp_path / "key.pem")
    ours.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    server = serve(more=", verify: true")
    files = {"nats_tls_cert_file": tmp_path / "cert.pem", "nats_tls_key_file": tmp_path / "key.pem"}

    async with connected(settings(server, nats_tls_ca_file=ca, **files)) as bus:
        await bus.nc.flush()
    said = await complaint(settings(server, nats_tls_ca_file=ca), caplog)

    assert "CODESTORY_NATS_TLS_CERT_FILE" in said


async def test_a_server_without_tls_is_not_spoken_to_in_the_open(ca: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = NatsServer()
    server.start()
    try:
        for more in ({}, {"nats_url": server.url, "nats_tls_ca_file": ca}):
            assert "the server has none" in await complaint(settings(server, **more), caplog)
            caplog.clear()
    finally:
        server.close()


async def test_not_a_word_in_the_open_where_both_want_it_so(
    authority: trustme.CA, ca: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, pem, port = tmp_path / "tls.conf", tmp_path / "server.pem", free_port()
    authority.issue_cert(HOST, key_type=trustme.KeyType.ECDSA).private_key_and_cert_chain_pem.write_to_path(pem)
    config.write_text(f'tls {{ cert_file: "{pem}", key_file: "{pem}", handshake_first: true }}\n')
    (tmp_path / "server").mkdir()
    server = NatsProcess(tmp_path / "server", port)
    url = f"tls://{HOST}:{port}"
    try:
        server.start("", config)
        async with connected(BusSettings(nats_url=url, nats_tls_ca_file=ca, nats_tls_first=True)) as bus:
            await bus.nc.flush()
        said = await complaint(BusSettings(nats_url=url, nats_tls_ca_file=ca, nats_connect_seconds=1), caplog)
    finally:
        server.close()

    assert "CODESTORY_NATS_TLS_FIRST" in said


async def test_it_says_the_same_once_and_goes_on_when_the_certificate_is_renewed(
    serve: Serve, authority: trustme.CA, ca: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server = serve(expired=True)
    bus = Bus(settings(server, nats_tls_ca_file=ca), "test")
    asking = asyncio.create_task(bus.connect())

    async def tried() -> bool:
        return server.log().count("TLS handshake error") > 2

    await wait_until(tried, "it has tried more than once")
    made = authority.issue_cert(HOST, key_type=trustme.KeyType.ECDSA)
    made.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    server.reload()
    try:
        async with asyncio.timeout(30):
            await asking
        assert bus.connected
        assert caplog.text.count("bus.refused") == 1
    finally:
        await bus.close()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"nats_tls_ca_file": "no.pem"}, "cannot be read"),
        ({"nats_tls_ca_file": "text"}, "no certificates"),
        ({"nats_tls_key_file": "text"}, "CODESTORY_NATS_TLS_CERT_FILE"),
        ({"nats_tls_cert_file": "text", "nats_url": "tls://a"}, "no certificates"),
        ({"nats_tls_first": True}, "tls://"),
    ],
)
def test_what_cannot_be_used_is_said_at_the_start(tmp_path: Path, fields: dict[str, object], says: str) -> None:
    (tmp_path / "text").write_text("a text\n")
    named = {name: tmp_path / str(value) if name.endswith("file") else value for name, value in fields.items()}

    with pytest.raises(ValidationError, match=says):
        BusSettings.model_validate(named)
