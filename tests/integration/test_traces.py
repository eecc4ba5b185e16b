"""Every attempt's spans hang on the request that submitted its job, also where attempts fail, die and are made anew."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from codestory.contracts.traces import Trace
from codestory.testing import free_port
from codestory.testing_bus import LIMIT
from codestory.testing_traces import Collector, Span, linked, loose
from codestory.testing_world import World, Worlds, plan

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#: Spans are exported this often, in milliseconds.
QUICKLY = {"OTEL_BSP_SCHEDULE_DELAY": "100"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def collected() -> AsyncGenerator[tuple[World, Collector]]:
    """An orchestrator and workers of a and b, all of which export."""
    scripts = Path(__file__).parents[1] / "chaos"
    with Collector() as collector:
        async with Worlds(scripts)(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, **QUICKLY) as world:
            world.orchestrator()
            world.worker("a", CODESTORY_PROBE_PORT=str(free_port()))
            world.worker("b", CODESTORY_PROBE_PORT=str(free_port()))
            await world.ready("a", "b")
            yield world, collector


async def trace(world: World, job: str) -> Trace:
    return Trace.model_validate((await world.ask("GET", f"/v1/ingest/{job}/trace")).json())


async def told(
    world: World, collector: Collector, job: str, settled: int, *, alike: bool = False
) -> tuple[list[Span], Trace]:
    """The job's spans at the collector and at the service, once so many attempts have been settled at both. `alike`:
    and the last of every process has come both ways."""
    found: list[Any] = []

    async def there() -> bool:
        kept = await trace(world, job)
        exported = collector.of(job)
        found[:] = [exported, kept]
        counts = (_settled([s.name for s in exported]), _settled([s.name for s in kept.spans]))
        same = {span.span_id for span in exported} == {view.span_id for view in kept.spans}
        return counts == (settled, settled) and not loose(exported)[1:] and (same or not alike)

    await world.until(there, f"{settled} attempts of {job} are told")
    return found[0], found[1]


def _settled(names: list[str]) -> int:
    return sum(name.startswith("settle ") for name in names)


def names(spans: list[Span]) -> list[str]:
    return sorted(span.name for span in spans)


async def test_a_job_is_one_tree_from_the_callers_request_to_the_last_settled_step(
    collected: tuple[World, Collector],
) -> None:
    world, collector = collected
    body = {"repository": world.repository(), "pipeline": {"steps": [plan("a"), plan("b")]}}
    headers = {"traceparent": CALLER, "tracestate": "vendor=1"}
    job = (await world.ask("POST", "/v1/ingest", json=body, headers=headers)).json()["id"]
    await world.state(job, "COMPLETED")

    spans, kept = await told(world, collector, job, 2, alike=True)

    [root] = loose(spans)
    assert (root.name, root.service) == ("submit job", "orchestrator")
    assert (root.trace_id, root.parent_id) == tuple(CALLER.split("-")[1:3])
    for step in "ab":
        [sent], [done], [settled] = (
            [span for span in spans if span.name == f"{verb} {step}"] for verb in ("dispatch", "process", "settle")
        )
        assert (done.parent_id, settled.parent_id) == (sent.span_id, done.span_id)
        assert {sent.trace_id, done.trace_id, settled.trace_id} == {sent.trace_id}
        assert sent.links == (root.id,)
        assert (sent.service, done.service, settled.service) == ("orchestrator", f"step-{step}", "orchestrator")
        assert done.attributes["messaging.destination.name"] == f"run.{step}"
        assert done.attributes["messaging.message.conversation_id"] == job
    assert [view.name for view in linked(kept.spans)] == ["submit job"]


async def test_asking_the_service_leaves_no_span(collected: tuple[World, Collector]) -> None:
    """Probes and those who watch ask every few seconds, for ever."""
    world, collector = collected
    for path in ("/livez", "/readyz", "/metrics", "/v1/ingest/steps"):
        await world.ask("GET", path)
    job = await world.submit(plan("a"))
    await world.state(job, "COMPLETED")

    await told(world, collector, job, 1, alike=True)

    assert {span.name for span in collector.spans if "codestory.job.id" not in span.attributes} == set()


async def test_each_attempt_has_a_trace_of_its_own_that_says_how_it_failed(
    collected: tuple[World, Collector],
) -> None:
    world, collector = collected
    job = await world.submit(plan("a", fail_until=1, exit_until=0), back_off=0.1)
    await world.state(job, "COMPLETED")

    spans, _ = await told(world, collector, job, 2)

    [root] = loose(spans)
    done = {span.attributes["codestory.attempt"]: span for span in spans if span.name == "process a"}
    assert {number: span.failed for number, span in done.items()} == {1: True, 2: False}
    assert done[1].attributes["error.type"] == "temporary"
    assert len({root.trace_id, done[1].trace_id, done[2].trace_id}) == 3


async def test_a_process_that_died_and_a_worker_that_was_killed_are_told_all_the_same(
    collected: tuple[World, Collector],
) -> None:
    world, collector = collected
    died = await world.submit(plan("a", exit_until=1), back_off=0.1)
    await world.state(died, "COMPLETED")
    gate = world.gate()
    killed = world.worker("c")
    await world.ready("c")
    job = await world.submit(plan("c", gate=gate.path), back_off=0.1)
    await world.step_state(job, "c", "RUNNING")

    killed.kill()
    await world.dead(killed)
    world.worker("c")
    gate.open()
    await world.state(job, "COMPLETED", limit=2 * LIMIT)

    spans, _ = await told(world, collector, died, 2)
    assert [span.attributes["error.type"] for span in spans if span.name == "process a" and span.failed] == ["crashed"]
    attempts = sum(len(step["attempts"]) for step in (await world.show(job))["steps"])
    spans, kept = await told(world, collector, job, attempts)
    lost = [span for span in spans if span.attributes.get("codestory.outcome") == "lost"]
    assert [(span.name, span.service, span.failed) for span in lost] == [("process c", "orchestrator", True)]
    assert [
        span.attributes["codestory.outcome"] for span in spans if span.name == "process c" and span not in lost
    ] == ["completed"]
    assert [view.name for view in linked(kept.spans)] == ["submit job"]


async def test_what_goes_on_is_shown_while_it_does(collected: tuple[World, Collector]) -> None:
    world, _ = collected
    gate = world.gate()
    job = await world.submit(plan("a", gate=gate.path))
    await world.step_state(job, "a", "RUNNING")

    going = await trace(world, job)

    assert [(view.name, view.ended_at) for view in going.spans if view.ended_at is None] == [("process a", None)]
    gate.open()
    await world.state(job, "COMPLETED")


async def test_the_lines_of_every_service_about_a_job_are_kept_with_its_trace(
    collected: tuple[World, Collector],
) -> None:
    world, collector = collected
    job = await world.submit(plan("a", say="hello", fail_until=1), back_off=0.1)
    await world.state(job, "COMPLETED")
    spans, _ = await told(world, collector, job, 2)
    seen: list[dict[str, Any]] = []

    async def ended() -> bool:
        seen[:] = (await world.ask("GET", f"/v1/ingest/{job}/logs?limit=1000")).json()["lines"]
        return any(line["event"] == "job.ended" for line in seen)

    await world.until(ended, "the end of the job is among its lines")

    by_event = {line["event"]: line for line in seen}
    assert {"job.submitted", "step.output", "step.retrying", "step.ended", "job.ended"} <= by_event.keys()
    assert by_event["job.ended"]["step"] == ""
    assert {line["fields"].get("service") for line in seen} >= {"orchestrator", "step-a"}
    first = next(span for span in spans if span.name == "process a" and span.failed)
    of_first = [line for line in seen if line["step"] == "a" and line["attempt"] == 1]
    assert {line["fields"]["trace_id"] for line in of_first} == {first.trace_id}
    assert {line["fields"]["trace_id"] for line in seen if not line["step"]} == {loose(spans)[0].trace_id}
    only = (await world.ask("GET", f"/v1/ingest/{job}/logs?step=a&limit=1000")).json()["lines"]
    assert {line["event"] for line in only} >= {"step.output", "step.retrying", "step.ended"}
    assert {line["step"] for line in only} == {"a"}


async def test_many_jobs_add_no_series(collected: tuple[World, Collector]) -> None:
    world, _ = collected

    async def run(count: int) -> None:
        jobs = [await world.submit(plan("a"), plan("b")) for _ in range(count)]
        for job in jobs:
            await world.state(job, "COMPLETED")

    await run(3)
    before = await world.series()
    await run(40)
    after = await world.series()

    assert len(world.probes) == 2
    assert after - before == set()
    assert not any(job in name for name in after for job in world.submitted)


async def test_nobody_who_takes_the_spans_costs_a_job_nothing() -> None:
    scripts = Path(__file__).parents[1] / "chaos"
    nobody = "http://127.0.0.1:9"
    async with Worlds(scripts)(OTEL_EXPORTER_OTLP_ENDPOINT=nobody, **QUICKLY) as world:
        process = world.orchestrator()
        world.worker("a")
        await world.ready("a")
        jobs = [await world.submit(plan("a")) for _ in range(5)]
        took = [await world.state(job, "COMPLETED") for job in jobs]
        kept = await trace(world, jobs[-1])

        process.terminate()
        gone = await world.until(lambda: _gone(process), "it has ended", 10)

    assert max(took) < 20
    assert "process a" in {view.name for view in kept.spans}
    assert gone < 8


async def _gone(process: Any) -> bool:
    return process.poll() is not None
