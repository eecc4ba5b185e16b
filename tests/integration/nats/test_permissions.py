"""What each user of the bus may: a whole job needs no more, and everything else is refused. One line each."""

import io
import json
import re
import zipfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import nats
import nats.errors
import pytest
import pytest_asyncio
from nats.aio.client import Client

from codestory.nats_users import folder
from codestory.nats_users.permissions import Names
from codestory.testing import wait_until

from .conftest import Guarded, GuardedStack, ask, guarded_stack

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

NAMESPACE = "guarded"
USERS = {"orc": "orchestrator", "a": "step-a", "b": "step-b", "opr": "operator", "obs": "observer"}

#: Nobody may publish it.
NEVER = "never"

#: What may be published, and who may. `N` is the namespace.
PUBLISH = """
N.evt.j.a.completed                           orc a
N.evt.j.b.completed                           orc b
N.evt.j.job.ended                             orc
N.progress.j.a                                orc a
N.progress.j.b                                orc b
N.log.j.a                                     orc a
N.log.j.b                                     orc b
N.span.j.a                                    orc a
N.span.j.b                                    orc b
N.room.a                                      orc a
N.room.b                                      orc b
N.gone.a.w                                    orc a
N.gone.b.w                                    orc b
N.bell                                        orc
N.control.j                                   orc
N.run.a.j                                     orc
N.ready.high.a.j                              orc
N.sched.j.a                                   orc
N.due.j                                       orc
N.live.evt.j.a.completed                      orc
N.api.start                                   orc opr
N.api.change_resources                        orc opr
N.api.delete_repository                       orc opr
N.api.snapshots                               orc opr
N.api.delete_snapshot                         orc opr
N.api.scale                                   orc opr obs
N.api.health                                  orc opr obs
N.step.a.run                                  orc opr
$KV.N_jobs.j                                  orc
$KV.N_cancel.j                                orc
$KV.N_limits.tokens                           orc
$KV.N_lease.dispatcher                        orc
$KV.N_tickets.t                               orc
$KV.N_idempotency.k                           orc
$KV.N_steps.a                                 orc a
$KV.N_steps.b                                 orc b
$KV.N_workers.a.w                             orc a
$KV.N_workers.b.w                             orc b
$O.N_snapshots.C.x                            orc
$JS.API.STREAM.INFO.N_EVENTS                  orc a b opr obs
$JS.API.STREAM.INFO.N_RUN                     orc opr obs
$JS.API.STREAM.MSG.GET.N_EVENTS               orc a b opr
$JS.API.STREAM.MSG.GET.N_RUN                  orc opr
$JS.API.STREAM.MSG.GET.KV_N_jobs              orc opr
$JS.API.STREAM.MSG.GET.KV_N_cancel            orc a b opr
$JS.API.STREAM.MSG.GET.N_LOGS                 orc opr
$JS.API.STREAM.MSG.GET.OBJ_N_snapshots        orc a b opr
$JS.API.DIRECT.GET.N_EVENTS                   orc opr
$JS.API.DIRECT.GET.KV_N_jobs.$KV.N_jobs.j     orc opr
$JS.API.DIRECT.GET.OBJ_N_snapshots            orc a b opr
$JS.API.STREAM.MSG.DELETE.N_EVENTS            orc
$JS.API.STREAM.CREATE.N_EVENTS                orc
$JS.API.STREAM.UPDATE.N_RUN                   orc
$JS.API.STREAM.PURGE.N_READY                  orc
$JS.API.STREAM.PURGE.KV_N_workers             orc
$JS.API.STREAM.DELETE.N_EVENTS
$JS.API.STREAM.DELETE.KV_N_jobs
$JS.API.STREAM.RESTORE.N_EVENTS
$JS.API.STREAM.SNAPSHOT.KV_N_jobs             opr
$JS.API.STREAM.LIST                           opr obs
$JS.API.CONSUMER.INFO.N_RUN.a                 orc a opr obs
$JS.API.CONSUMER.INFO.N_RUN.b                 orc b opr obs
$JS.API.CONSUMER.MSG.NEXT.N_RUN.a             orc a
$JS.API.CONSUMER.MSG.NEXT.N_RUN.b             orc b
$JS.API.CONSUMER.MSG.NEXT.N_READY.high-a      orc
$JS.API.CONSUMER.MSG.NEXT.N_EVENTS.x          orc
$JS.API.CONSUMER.CREATE.N_RUN                 orc
$JS.API.CONSUMER.CREATE.N_RUN.x.N.run.a.*     orc
$JS.API.CONSUMER.CREATE.N_EVENTS              orc
$JS.API.CONSUMER.CREATE.KV_N_cancel           orc
$JS.API.CONSUMER.DURABLE.CREATE.N_RUN.a       orc
$JS.API.CONSUMER.DELETE.N_RUN.a               orc
$JS.API.CONSUMER.DELETE.N_EVENTS.orchestrator orc
$JS.ACK.N_RUN.a.1.1.1.1.0                     orc a
$JS.ACK.N_RUN.b.1.1.1.1.0                     orc b
$JS.ACK.N_EVENTS.orchestrator.1.1.1.1.0       orc
$SRV.PING                                     opr obs
_INBOX_operator.x                             orc
_INBOX_step-a.x
_INBOX_orchestrator.x
_INBOX.x
N
other.evt.j.a.completed
$KV.other_jobs.j
$JS.API.STREAM.CREATE.other_EVENTS
$JS.API.STREAM.CREATE.N_MINE
$JS.API.ACCOUNT.PURGE.CODESTORY
$SYS.REQ.SERVER.PING
$SYS.REQ.ACCOUNT.CODESTORY.CONNZ
"""

#: What may be heard, and by whom. The server takes `>` in a request for any token; there is nothing below `control.*`.
SUBSCRIBE = """
>
N.>
*.control.*
N.control.*                                   a b
N.control.>                                   a b
N.live.>                                      orc opr
N.live.cancel.>                               orc opr
N.run.>
N.evt.>
N.log.>
N.room.*                                      orc
N.gone.*.*                                    orc
N.bell                                        orc
N.api.*                                       orc
N.step.*.*                                    orc
$SRV.PING                                     orc
$KV.N_jobs.>
$JS.API.>
$JS.ACK.>
$JS.EVENT.ADVISORY.>
_INBOX.>
_INBOX_orchestrator.>                         orc
_INBOX_operator.>                             opr
_INBOX_observer.>                             obs
_INBOX_step-a.>                               a
_INBOX_step-b.>                               b
$SYS.>
other.>
"""


def table(text: str) -> list[tuple[str, str, bool]]:
    """Each subject with each user: whether it may."""
    rows = [line.split() for line in text.strip().splitlines()]
    return [
        (re.sub(r"(?<![A-Za-z])N(?=[._]|$)", NAMESPACE, subject), user, short in who)
        for subject, *who in rows
        for short, user in USERS.items()
    ]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Nothing runs on it."""
    guarded = Guarded(tmp_path_factory.mktemp("users"), NAMESPACE)
    try:
        yield guarded
    finally:
        guarded.server.close()


async def all_refused(refused: list[Exception]) -> list[str]:
    """The subjects, in the order in which the server has refused them, once it has refused the one that never is. In
    small letters, as the client library tells them."""

    def subjects() -> list[str]:
        return re.findall(
            r'violation for (?:publish to|subscription to) "([^"]+)"', " ".join(map(str, refused)), re.IGNORECASE
        )

    async def heard() -> bool:
        return NEVER in subjects()

    await wait_until(heard, "the server has answered")
    return subjects()


@pytest.mark.parametrize(("subject", "user", "allowed"), table(PUBLISH))
async def test_who_may_publish_what(guarded: Guarded, subject: str, user: str, allowed: bool) -> None:
    async with guarded.client(user) as (client, refused):
        await client.publish(subject, b"{}")
        await client.publish(NEVER)

        assert await all_refused(refused) == ([NEVER] if allowed else [subject.lower(), NEVER])


@pytest.mark.parametrize(("subject", "user", "allowed"), table(SUBSCRIBE))
async def test_who_may_hear_what(guarded: Guarded, subject: str, user: str, allowed: bool) -> None:
    async with guarded.client(user) as (client, refused):
        await client.subscribe(subject)
        await client.publish(NEVER)

        assert await all_refused(refused) == ([NEVER] if allowed else [subject.lower(), NEVER])


async def test_nobody_is_let_in_without_a_key_or_with_a_strange_one(guarded: Guarded, tmp_path: Path) -> None:
    strange = folder.write(tmp_path / "strange", ("a",), NAMESPACE)

    keys = {"nkeys_seed": str(strange.seeds["orchestrator"])}
    options: dict[str, Any]
    for options in ({}, {"user": "codestory", "password": ""}, keys):
        refused: list[Exception] = []

        async def error(problem: Exception, refused: list[Exception] = refused) -> None:
            refused.append(problem)

        client = Client()
        with suppress(nats.errors.Error):
            await client.connect(guarded.server.url, allow_reconnect=False, error_cb=error, **options)
        assert not client.is_connected
        assert "Authorization Violation" in str(refused)
        await client.close()


async def test_the_servers_own_user_is_in_no_stack(guarded: Guarded) -> None:
    async with guarded.client("orchestrator") as (client, _):
        heard = await client.subscribe(f"{NAMESPACE}.live.>")
        await client.flush()
        async with guarded.client("sys") as (system, _):
            await system.publish(f"{NAMESPACE}.live.evt.j.a.completed", b"{}")
            await system.flush()
        await client.publish(f"{NAMESPACE}.live.mark", b"mine")

        assert (await heard.next_msg(5)).data == b"mine"


async def test_a_step_that_is_added_is_let_in_once_the_server_has_read_its_configuration_anew(
    tmp_path: Path,
) -> None:
    guarded = Guarded(tmp_path, NAMESPACE)
    try:
        before = {path: path.read_bytes() for path in guarded.written.seeds.values()}
        guarded.written = folder.write(tmp_path, ("theirs",))
        guarded.server.reload()

        async def let_in() -> bool:
            with suppress(nats.errors.Error, OSError):
                async with guarded.client("step-theirs") as (client, refused):
                    await client.publish(f"{NAMESPACE}.room.theirs")
                    await client.flush()
                    return not refused
            return False

        await wait_until(let_in, "the new step is let in")
        assert guarded.written.made == ("step-theirs",)
        assert {path: path.read_bytes() for path in before} == before
        async with guarded.client("step-a") as (client, refused):
            await client.publish(f"{NAMESPACE}.room.a")
            await client.flush()
            assert not refused
    finally:
        guarded.server.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[GuardedStack]:
    async with guarded_stack(tmp_path_factory.mktemp("guarded"), NAMESPACE) as stack:
        yield stack


async def test_a_support_bundle_can_be_made_by_the_orchestrators_user_and_holds_no_seed(stack: GuardedStack) -> None:
    asked = {"repository": str(stack.repository), "name": "bundled", "options": {"say": "hello"}}
    job = (await ask(stack.operator, "api.start", asked)).body["id"]

    async with httpx.AsyncClient(trust_env=False, timeout=60) as asking:
        response = await asking.get(f"{stack.url}/v1/ingest/{job}/bundle")
    with zipfile.ZipFile(io.BytesIO(response.content)) as packed:
        files = {name: packed.read(name).decode() for name in packed.namelist()}

    assert [entry["name"] for entry in json.loads(files["bundle.json"])["missing"]] == ["service/graph.json"]
    streams = json.loads(files["service/streams.json"])
    told = streams["streams"].values(), streams["consumers"].values()
    assert all("config" in each for kind in told for each in kind)
    assert len(streams["streams"]) == len(Names(NAMESPACE).all())
    for seed in stack.guarded.written.seeds.values():
        assert seed.read_text().strip() not in "".join(files.values())


async def test_a_whole_job_runs_with_each_service_as_its_own_user(stack: GuardedStack) -> None:
    operator = stack.operator

    async def ended(job: str, state: str) -> None:
        async def so() -> bool:
            return (await ask(operator, "api.get", {"job": job})).body["state"] == state

        await wait_until(so, f"{job} is {state}", 60)

    async def runs() -> bool:
        return (await ask(operator, "step.a.status", {"job": cancelled})).body["state"] == "RUNNING"

    loud = {"say": "hello"}
    steps = [{"name": "a", "options": loud}, {"name": "b", "depends_on": ["a"], "options": {"fail_until": 1}}]
    plan = {"steps": steps, "retry": {"max_retries": 3, "back_off_seconds": 0.1}}
    done = (await ask(operator, "api.start", {"repository": str(stack.repository), "pipeline": plan})).body["id"]
    await ended(done, "COMPLETED")
    long = {"repository": str(stack.repository), "pipeline": {"steps": [{"name": "a", "options": {"seconds": 600}}]}}
    cancelled = (await ask(operator, "api.start", long)).body["id"]
    await wait_until(runs, "it runs", 60)
    await ask(operator, "api.cancel", {"job": cancelled})
    await ended(cancelled, "CANCELLED")
    logs = (await ask(operator, "api.logs", {"job": done})).body["lines"]
    stored = await operator.last("KV_jobs", operator.key("jobs", done))

    assert any("hello" in json.dumps(line) for line in logs)
    assert stored
    assert "iolation" not in stack.guarded.server.log(), stack.guarded.server.log()[-3000:]
