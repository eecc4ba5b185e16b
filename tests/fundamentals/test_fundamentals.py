"""Code Story in a few sentences that run. Read them in order; nothing here is a double."""

from pathlib import Path

from codestory.client import Client
from codestory.contracts.plans import ConfiguredStep, PipelineConfig, Retry
from codestory.contracts.values import JobState
from codestory.testing import EmbeddedStack, install_steps

FILES_FIRST = PipelineConfig(
    steps=(ConfiguredStep(name="filesystem"), ConfiguredStep(name="documentation_grapher")),
)

#: A step of your own: the class, and (in a package: the entry point) a name.
UNSURE = """
from codestory.steps import PipelineStep, StepContext, StepResult, TemporaryStepError
from codestory.steps.step import NoOptions

class Unsure(PipelineStep[NoOptions]):
    name = "unsure"

    async def execute(self, ctx: StepContext[NoOptions]) -> StepResult:
        if ctx.attempt == 1:
            raise TemporaryStepError("not on the first try")
        return StepResult("on the second try")
"""


def test_a_job_runs_its_steps_in_order(client: Client, repository: Path) -> None:
    job = client.submit(repository=str(repository), pipeline=FILES_FIRST)

    ended = client.wait(job.id, timeout=120)

    files, documents = ended.steps
    assert ended.state is JobState.COMPLETED
    assert (files.name, documents.name) == ("filesystem", "documentation_grapher")
    assert files.ended_at is not None
    assert documents.started_at is not None
    assert files.ended_at <= documents.started_at


def test_the_graph_holds_the_files(client: Client, stack: EmbeddedStack, repository: Path) -> None:
    client.wait(client.submit(repository=str(repository), pipeline=FILES_FIRST).id, timeout=120)

    query = "MATCH (f:File {repo: $repo}) RETURN f.path AS path ORDER BY path"
    files = stack.answer("graph", "query", repository.name, query)

    assert files == [{"path": "README.md"}, {"path": "src/rest.py"}, {"path": "src/work.py"}]


def test_the_graph_knows_which_file_a_document_speaks_of(
    client: Client, stack: EmbeddedStack, repository: Path
) -> None:
    client.wait(client.submit(repository=str(repository), pipeline=FILES_FIRST).id, timeout=120)

    query = "MATCH (s {repo: $repo})-[d:DESCRIBES]->(f:File) RETURN DISTINCT f.path AS path"
    described = stack.answer("graph", "query", repository.name, query)

    assert described == [{"path": "src/work.py"}]


def test_a_step_may_fail_and_is_tried_again(client: Client, stack: EmbeddedStack, repository: Path) -> None:
    install_steps(stack.packages, "unsure", UNSURE, {"unsure": "Unsure"})
    stack.start()
    plan = PipelineConfig(steps=(ConfiguredStep(name="unsure"),), retry=Retry(max_retries=3, back_off_seconds=0.1))

    ended = client.wait(client.submit(repository=str(repository), pipeline=plan).id, timeout=120)

    [unsure] = ended.steps
    assert ended.state is JobState.COMPLETED
    assert [attempt.message for attempt in unsure.attempts] == ["not on the first try", ""]
    assert unsure.outcome is not None
    assert unsure.outcome.summary == "on the second try"


def test_the_same_files_give_the_same_graph(client: Client, stack: EmbeddedStack, repository: Path) -> None:
    digests: list[str] = []
    for _ in range(2):
        client.wait(client.submit(repository=str(repository), pipeline=FILES_FIRST).id, timeout=120)
        digests.append(stack.answer("graph", "digest", repository.name)["digest"])

    assert digests[0] == digests[1]
