"""The route of support bundles: a file as it was made, or a problem."""

import httpx
import pytest

from codestory.contracts.access import EVERYBODY, Principal
from codestory_orchestrator import errors
from codestory_orchestrator.api import ApiSettings, create_app
from codestory_orchestrator.testing_api import JOB, ScriptedIngestion, client, problem


class ScriptedBundles:
    def __init__(self, fails: Exception | None = None) -> None:
        self.fails = fails
        self.asked: list[tuple[str, Principal]] = []

    async def make(self, job_id: str, caller: Principal) -> bytes:
        self.asked.append((job_id, caller))
        if self.fails:
            raise self.fails
        return b"packed"


async def answer(bundles: ScriptedBundles, path: str = f"/v1/ingest/{JOB}/bundle") -> httpx.Response:
    async with client(create_app(ScriptedIngestion(), ApiSettings(), bundles=bundles)) as asking:
        return await asking.get(path)


async def test_a_bundle_is_a_file_of_the_jobs_name_that_nobody_keeps() -> None:
    bundles = ScriptedBundles()

    response = await answer(bundles)

    assert response.content == b"packed"
    assert response.headers["content-type"] == "application/zip"
    assert response.headers["content-disposition"] == f'attachment; filename="codestory-{JOB}.zip"'
    assert response.headers["cache-control"] == "no-store"
    assert bundles.asked == [(JOB, EVERYBODY)]


@pytest.mark.parametrize(
    ("fails", "status", "code"),
    [
        (errors.JobNotFound(JOB), 404, "job_not_found"),
        (errors.ServiceUnavailable(), 503, "unavailable"),
        (errors.Busy(2), 503, "busy"),
    ],
)
async def test_what_cannot_be_made_is_a_problem(fails: Exception, status: int, code: str) -> None:
    stated = problem(await answer(ScriptedBundles(fails)))

    assert (stated.status, stated.code) == (status, code)


async def test_what_can_be_no_job_is_none() -> None:
    bundles = ScriptedBundles()

    response = await answer(bundles, "/v1/ingest/a.b/bundle")

    assert problem(response).status == 404
    assert bundles.asked == []
