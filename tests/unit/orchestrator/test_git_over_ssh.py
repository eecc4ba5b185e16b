"""Repositories behind ssh: a real server on loopback, its key known or another's, ours let in or not."""

import asyncio
import shlex
import shutil
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import asyncssh
import pytest
import pytest_asyncio

from codestory import cancelling
from codestory.testing_git import HOST, git
from codestory_orchestrator.fetching.addresses import Wanted, parse
from codestory_orchestrator.fetching.git import fetched
from codestory_orchestrator.fetching.process import FetchFailed
from codestory_orchestrator.fetching.settings import FetchSettings, GitCredential

pytestmark = pytest.mark.skipif(
    not (shutil.which("git") and shutil.which("ssh")), reason="ssh is not here: apt-get install git openssh-client"
)


def key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


class Server:
    """Serves the repositories below `directory` to whoever bears `opens`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.opens, self.host_key = key(), key()
        self.asked: list[str] = []

    async def start(self) -> None:
        authorized = asyncssh.import_authorized_keys(self.opens.export_public_key().decode())
        self._ssh = await asyncssh.create_server(
            asyncssh.SSHServer,
            HOST,
            0,
            server_host_keys=[self.host_key],
            authorized_client_keys=authorized,
            process_factory=self._serve,
            encoding=None,
        )
        self.url = f"ssh://git@{HOST}:{self._ssh.get_port()}"

    async def stop(self) -> None:
        self._ssh.close()
        await self._ssh.wait_closed()

    async def _serve(self, process: "asyncssh.SSHServerProcess[bytes]") -> None:
        """`git-upload-pack '/path'`, as git asks for it."""
        self.asked.append(process.command or "")
        program, path = shlex.split(process.command or "")
        assert program == "git-upload-pack"
        where = self.directory / path.lstrip("/")
        ran = await asyncio.create_subprocess_exec(
            *("git", "-c", "safe.directory=*", "upload-pack", str(where)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert ran.stdin
        assert ran.stdout
        assert ran.stderr
        asks = asyncio.create_task(_asked(process, ran.stdin))
        while said := await ran.stdout.read(65536):
            process.stdout.write(said)
        process.stderr.write(await ran.stderr.read())
        await cancelling.end(asks)
        process.exit(await ran.wait())


async def _asked(process: "asyncssh.SSHServerProcess[bytes]", program: asyncio.StreamWriter) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # it has heard enough
        while asked := await process.stdin.read(65536):
            program.write(asked)
            await program.drain()
        program.close()


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncGenerator[Server]:
    work = tmp_path / "git" / "org" / "shop"
    work.mkdir(parents=True)
    git(work, "init", "-q", "-b", "main")
    (work / "a.py").write_text("A = 1\n")
    git(work, "add", "-A")
    git(work, "commit", "-qm", "one")
    server = Server(tmp_path / "git")
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
def settings(server: Server, tmp_path: Path) -> FetchSettings:
    (tmp_path / "fetches").mkdir()
    (tmp_path / "key").write_bytes(server.opens.export_private_key())
    (tmp_path / "known").write_text(f"{HOST} {server.host_key.export_public_key().decode()}")
    return FetchSettings(
        git_private_hosts=(HOST,),
        git_directory=tmp_path / "fetches",
        git_known_hosts=tmp_path / "known",
        git_credentials={"corp": GitCredential(host=HOST, file=tmp_path / "key")},
    )


async def failure(wanted: Wanted, settings: FetchSettings) -> FetchFailed:
    with pytest.raises(FetchFailed) as failed:
        async with fetched(wanted, settings):
            pass
    assert "PRIVATE KEY" not in str(failed.value)
    assert settings.git_directory
    assert list(settings.git_directory.iterdir()) == []
    return failed.value


async def test_our_key_opens_it(server: Server, settings: FetchSettings) -> None:
    async with fetched(Wanted(parse(f"{server.url}/org/shop"), "main", "corp"), settings) as found:
        assert (found.directory / "a.py").read_text() == "A = 1\n"
        assert found.branch == "main"


async def test_without_it_or_with_a_wrong_one_it_says_what_is_missing(
    server: Server, settings: FetchSettings, tmp_path: Path
) -> None:
    address = parse(f"{server.url}/org/shop")

    without = await failure(Wanted(address), settings)
    (tmp_path / "key").write_bytes(key().export_private_key())
    wrong = await failure(Wanted(address, credential="corp"), settings)
    (tmp_path / "key").write_text("me:no-key-at-all\n")
    none = await failure(Wanted(address, credential="corp"), settings)

    for failed in (without, wrong, none):
        assert "`credential`" in str(failed)
        assert not failed.passing
    assert "no-key-at-all" not in str(none)
    assert server.asked == []


@pytest.mark.parametrize("known", ["another's", "none"])
async def test_a_host_whose_key_is_another_or_not_known_is_sent_nothing(
    server: Server, settings: FetchSettings, tmp_path: Path, known: str
) -> None:
    stated = f"{HOST} {key().export_public_key().decode()}" if known == "another's" else ""
    (tmp_path / "known").write_text(stated)

    failed = await failure(Wanted(parse(f"{server.url}/org/shop"), credential="corp"), settings)

    assert "CODESTORY_GIT_KNOWN_HOSTS" in str(failed)
    assert not failed.passing
    assert server.asked == []


async def test_a_repository_that_is_not_there_is_no_reason_to_try_again(
    server: Server, settings: FetchSettings
) -> None:
    failed = await failure(Wanted(parse(f"{server.url}/org/nowhere"), credential="corp"), settings)

    assert not failed.passing
