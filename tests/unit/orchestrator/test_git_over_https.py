"""Repositories behind TLS and a password: real servers on loopback, whose certificates are good, old or another's."""

import shutil
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from codestory.testing_git import HOST, GitServer
from codestory_orchestrator.fetching.addresses import Wanted, parse
from codestory_orchestrator.fetching.git import fetched
from codestory_orchestrator.fetching.process import FetchFailed
from codestory_orchestrator.fetching.settings import FetchSettings, GitCredential

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not here: apt-get install git")

SECRET = "hunter2-of-the-corp"
LONG_AGO = datetime.now(UTC) - timedelta(days=9)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


def served(authority: trustme.CA, host: str = HOST, *, expired: bool = False) -> ssl.SSLContext:
    """A server's side, with a certificate for this host."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    until = LONG_AGO + timedelta(days=1) if expired else None
    since = LONG_AGO if expired else None
    authority.issue_cert(host, not_before=since, not_after=until, key_type=trustme.KeyType.ECDSA).configure_cert(
        context
    )
    return context


@pytest.fixture
def server(authority: trustme.CA, tmp_path: Path) -> Iterator[GitServer]:
    with GitServer(tmp_path / "git", tls=served(authority), password=f"me:{SECRET}") as server:
        server.repository("org/shop", {"a.py": "A = 1\n"})
        yield server


@pytest.fixture
def settings(authority: trustme.CA, tmp_path: Path) -> FetchSettings:
    (tmp_path / "fetches").mkdir()
    (tmp_path / "secret").write_text(f"me:{SECRET}\n")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return FetchSettings(
        git_private_hosts=(HOST,),
        git_directory=tmp_path / "fetches",
        git_ca_file=tmp_path / "ca.pem",
        git_credentials={"corp": GitCredential(host=HOST, file=tmp_path / "secret")},
        git_submodules=True,
    )


async def failure(wanted: Wanted, settings: FetchSettings) -> FetchFailed:
    with pytest.raises(FetchFailed) as failed:
        async with fetched(wanted, settings):
            pass
    assert SECRET not in str(failed.value)
    assert settings.git_directory
    assert list(settings.git_directory.iterdir()) == []
    return failed.value


async def test_the_secret_opens_it_and_is_kept_nowhere(server: GitServer, settings: FetchSettings) -> None:
    async with fetched(Wanted(parse(f"{server.url}/org/shop"), credential="corp"), settings) as found:
        assert (found.directory / "a.py").read_text() == "A = 1\n"
        kept = [path for path in found.directory.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]

    assert kept == []
    assert any(server.borne)


async def test_without_it_or_with_a_wrong_one_it_says_what_is_missing(
    server: GitServer, settings: FetchSettings, tmp_path: Path
) -> None:
    address = parse(f"{server.url}/org/shop")

    without = await failure(Wanted(address), settings)
    (tmp_path / "secret").write_text("me:another\n")
    wrong = await failure(Wanted(address, credential="corp"), settings)

    for failed in (without, wrong):
        assert "`credential`" in str(failed)
        assert not failed.passing
    assert "another" not in str(wrong)


@pytest.mark.parametrize(
    ("host", "expired", "known"),
    [(HOST, True, True), ("git.example", False, True), (HOST, False, False)],
    ids=["expired", "of another host", "signed by nobody we know"],
)
async def test_a_certificate_that_is_no_good_is_refused_and_no_secret_is_sent(
    authority: trustme.CA, settings: FetchSettings, tmp_path: Path, host: str, *, expired: bool, known: bool
) -> None:
    used = settings if known else settings.model_copy(update={"git_ca_file": None})

    with GitServer(tmp_path / "git", tls=served(authority, host, expired=expired), password=f"me:{SECRET}") as server:
        failed = await failure(Wanted(parse(f"{server.url}/org/shop"), credential="corp"), used)

    assert "certificate" in str(failed)
    assert "CODESTORY_GIT_CA_FILE" in str(failed)
    assert not failed.passing
    assert server.asked == []


async def test_an_authorities_file_that_cannot_be_read_is_named(server: GitServer, settings: FetchSettings) -> None:
    used = settings.model_copy(update={"git_ca_file": Path("/nowhere/ca.pem")})

    assert "CODESTORY_GIT_CA_FILE" in str(await failure(Wanted(parse(f"{server.url}/org/shop")), used))


async def test_a_submodule_of_the_same_server_is_opened_too_and_another_server_gets_no_secret(
    server: GitServer, settings: FetchSettings, tmp_path: Path
) -> None:
    with GitServer(tmp_path / "other") as other:
        server.repository("org/lib", {"b.py": "B = 1\n"})
        other.repository("open", {"c.py": "C = 1\n"})
        server.submodule("org/shop", "lib", "../lib", server.head("org/lib"))
        server.submodule("org/shop", "open", f"{other.url}/open", other.head("open"))

        wanted = Wanted(parse(f"{server.url}/org/shop"), credential="corp", submodules=True)
        async with fetched(wanted, settings) as found:
            seen = {path.name for path in found.directory.rglob("*.py")}

    assert seen == {"a.py", "b.py", "c.py"}
    assert other.asked
    assert set(other.borne) == {""}
