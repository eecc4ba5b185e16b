"""What the orchestrator asks of a step. Imperative: one receiver."""

from typing import Annotated

from pydantic import Field

from codestory.contracts.jobs import Repository
from codestory.contracts.plans import Options
from codestory.contracts.values import JobId, Mode, StepName, Value


class RunStep(Value):
    """Do your part of this job. Delivered at least once: running twice must equal running once.

    `attempt` and `after` travel as headers too, so that a command whose body cannot be read can still be fenced."""

    job: JobId
    step: StepName
    attempt: int
    #: Sequence of the last event that the orchestrator knew of this step: the worker's claim must follow it.
    after: int
    repository: Repository
    #: Options meant for every step, overlaid by this step's own: the host keeps those that the step declares.
    options: Options = {}
    timeout_seconds: float | None = None
    mode: Mode = Mode.FULL
    #: Of the job: it counts up when the whole job is retried or resumed, and progress begins anew.
    run: int = 1
    #: The steps of the pipeline that depend on this one's content: stale once it has changed it.
    later: tuple[StepName, ...] = ()
    #: W3C context of the request that submitted the job. The command's headers bear that of the attempt itself.
    traceparent: str = ""
    tracestate: Annotated[str, Field(max_length=512)] = ""
