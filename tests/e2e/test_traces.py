"""A job through every service: all that they did hangs in one tree, at a collector and in the service itself."""

import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from codestory.contracts.traces import Trace
from codestory.testing import EmbeddedStack, wait_until
from codestory.testing_models import ModelServer, Rules
from codestory.testing_traces import Collector, Span, linked, loose

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(600)]

STEPS = ("blarify", "filesystem", "summarizer", "documentation_grapher")
#: What each step is seen to go through.
PHASES = {
    "blarify": {"listing", "parsing", "references", "graph write"},
    "filesystem": {"listing", "reading", "graph write"},
    "summarizer": {"reading the graph", "order", "summarizing", "model call", "graph write"},
    "documentation_grapher": {"listing", "parsing", "linking", "graph write"},
}


class TracedStack(EmbeddedStack):
    def __init__(self, directory: Path, collector: Collector, models: ModelServer) -> None:
        super().__init__(
            directory,
            CODESTORY_LOCAL_START_SECONDS="150",
            CODESTORY_ACK_WAIT_SECONDS="2",
            CODESTORY_OPENAI_URL=models.openai_url,
            CODESTORY_OPENAI_API_KEY=models.rules.key,
            CODESTORY_OPENAI_MODEL="small",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
            OTEL_BSP_SCHEDULE_DELAY="200",
        )
        self.collector = collector

    def trace(self, job: str) -> Trace:
        return Trace.model_validate(self.answer("ingest", "trace", job))

    async def told(self, job: str, attempts: int) -> list[Span]:
        """All spans of the job at the collector, once each of its attempts has been settled."""

        async def there() -> bool:
            spans = self.collector.of(job)
            return sum(span.name.startswith("settle ") for span in spans) >= attempts and not loose(spans)[1:]

        await wait_until(there, f"the spans of {job} are there", 60)
        return self.collector.of(job)


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TracedStack]:
    with Collector() as collector, ModelServer(Rules()) as models:
        stack = TracedStack(tmp_path_factory.mktemp("traced"), collector, models)
        try:
            stack.start()
            yield stack
        finally:
            stack.stop()


async def test_every_span_of_every_service_is_in_one_tree(traced: TracedStack, repository: Path) -> None:
    model = ("--step-option", "summarizer.provider=openai")
    job = traced.answer("ingest", "start", str(repository), *model)["id"]

    spans = await traced.told(job, len(STEPS))

    [root] = loose(spans)
    assert root.name == "submit job"
    assert {span.service for span in spans} == {"orchestrator", *(f"step-{step}" for step in STEPS)}
    for step in STEPS:
        done = {span.name for span in spans if span.service == f"step-{step}"}
        assert PHASES[step] <= done
    calls = [span for span in spans if span.name == "model call"]
    phase = next(span for span in spans if span.name == "summarizing")
    assert {span.parent_id for span in calls} == {phase.span_id}
    assert all(span.attributes["tokens"] > 0 for span in calls)
    kept = traced.trace(job)
    assert [view.name for view in linked(kept.spans)] == ["submit job"]
    assert {view.span_id for view in kept.spans} == {span.span_id for span in spans}


def test_the_tree_is_printed_with_durations(traced: TracedStack, repository: Path) -> None:
    job = traced.answer("ingest", "start", str(repository))["id"]

    shown = traced.run("ingest", "trace", job).stdout

    assert re.search(r"^ +\+0 ms +[\d.]+ m?s  submit job$", shown, re.MULTILINE)
    for step in STEPS:
        line = rf"^ +\+\S+ m?s +[\d.]+ m?s  [│ ]*└─ process {step}  attempt 1  completed$"
        assert re.search(line, shown, re.MULTILINE)


@pytest.mark.parametrize("what", ["service", "process"])
async def test_an_attempt_whose_service_or_process_is_killed_is_in_the_tree_too(
    traced: TracedStack, program: Path, what: str
) -> None:
    processes = traced.answer("service", "status")["processes"]
    host = psutil.Process(next(p["pid"] for p in processes if p["name"] == "step-blarify"))
    job = traced.answer("ingest", "start", str(program), "--detach")["id"]

    async def runs() -> bool:
        steps = traced.answer("ingest", "status", job)["steps"]
        return next(step["state"] for step in steps if step["name"] == "blarify") == "RUNNING"

    await wait_until(runs, "blarify runs", 60)
    (host if what == "service" else host.children()[0]).kill()

    async def ended() -> bool:
        return traced.answer("ingest", "status", job)["state"] == "COMPLETED"

    await wait_until(ended, "the job has ended", 240)
    spans = await traced.told(job, len(STEPS) + (what == "process"))
    failed = [span for span in spans if span.name == "process blarify" and span.failed]

    assert {span.attributes["error.type"] for span in failed} == {"lost" if what == "service" else "crashed"}
    assert [view.name for view in linked(traced.trace(job).spans)] == ["submit job"]
