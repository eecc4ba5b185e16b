"""Every metric. Labels hold nothing that grows with jobs."""

import time
from collections.abc import Iterable, Mapping

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from codestory.contracts.values import Value

disable_created_metrics()  # a series for each series, of which none is asked for

SHORT = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600)
LONG = (1, 5, 15, 60, 300, 900, 3600, 14400)
SIZES = tuple(float(2**power) for power in range(26, 36))  # 64 MiB to 32 GiB

# of the orchestrator
JOBS_ENDED = Counter("ingest_jobs", "Runs of jobs that ended, by state", ["state"])
JOBS = Gauge("ingest_jobs_now", "Jobs known now, by state", ["state"])
JOB_SECONDS = Histogram(
    "ingest_job_duration_seconds", "From the beginning of a run to its end, by state", ["state"], buckets=LONG
)
STEP_SECONDS = Histogram(
    "ingest_step_duration_seconds", "Duration of attempts, by step and outcome", ["step", "outcome"], buckets=LONG
)
STEP_ATTEMPTS = Counter("ingest_step_attempts", "Attempts that ended, by step and reason", ["step", "reason"])
STEP_CPU = Counter("ingest_step_cpu_seconds", "Processor time of attempts, by step", ["step"])
STEP_MEMORY = Histogram(
    "ingest_step_peak_memory_bytes", "Most memory of an attempt at once, by step", ["step"], buckets=SIZES
)
QUEUE_WAIT = Histogram("ingest_queue_wait_seconds", "From ready to admitted, by priority", ["priority"], buckets=SHORT)
QUEUE_OLDEST = Gauge("ingest_queue_oldest_seconds", "How long the oldest command has waited, by priority", ["priority"])
QUEUED = Gauge("ingest_queue_commands", "Commands that wait, by step and priority", ["step", "priority"])
TOKENS = Gauge("ingest_resource_tokens", "Steps that may be admitted, and those admitted", ["state"])
RECONCILED = Counter("ingest_reconciled", "Commands sent again because no stream held them")
RECONCILE_LAG = Gauge("ingest_reconcile_lag_seconds", "Since the reconciler's last whole round, or since the start")
DEAD_LETTERS = Gauge("ingest_dlq_messages", "Commands that the server or a worker gave up")
LISTENERS = Gauge("ws_clients", "Open WebSockets")

# of every process
DEPENDENCY = Gauge("ingest_dependency_up", "1: it answers; 0: it does not", ["dependency"])
SPANS_DROPPED = Counter("ingest_spans_dropped", "Spans of jobs that were not kept, for want of room")
LINES_DROPPED = Counter("ingest_log_lines_dropped", "Log lines of jobs that were not kept, for want of room")

# of the host of a step
RUNNING = Gauge("ingest_step_running", "Attempts that this process runs now", ["step"])
QUIET = Gauge("ingest_step_quiet_seconds", "Since the running attempt that is the quietest made progress", ["step"])

# of a step's process, told by its host
FENCED = Counter("ingest_fenced_writes", "Writes refused because the attempt is another's now, by what refused", ["by"])
REDACTIONS = Counter("ingest_redactions", "Secrets taken out of texts, by type", ["type"])
MODEL_REQUESTS = Counter("llm_requests", "Requests to a model, by HTTP status; none: no answer", ["code"])
MODEL_SECONDS = Counter("llm_request_seconds", "Time that requests to a model took, all together")
MODEL_TOKENS = Counter("llm_tokens", "Tokens as the endpoint counted them; cached ones are among the input", ["kind"])
MODEL_SPEND = Counter("llm_spend", "What these cost by the configured prices, in their currency", ["kind"])

#: Measured where a step runs.
OF_CHILDREN: dict[str, Counter] = {
    metric.name: counter
    for counter in (FENCED, REDACTIONS, MODEL_REQUESTS, MODEL_SECONDS, MODEL_TOKENS, MODEL_SPEND)
    for metric in counter.describe()
}


class Count(Value):
    """By how much one counter has grown."""

    name: str
    labels: dict[str, str] = {}
    amount: float


class Counted:
    """What this process has counted and not told yet."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}

    def news(self) -> tuple[Count, ...]:
        found: list[Count] = []
        for name, counter in OF_CHILDREN.items():
            for family in counter.collect():
                for sample in family.samples:
                    if not sample.name.endswith("_total"):
                        continue
                    key = name, tuple(sorted(sample.labels.items()))
                    amount = sample.value - self._told.get(key, 0.0)
                    if amount > 0:
                        self._told[key] = sample.value
                        found.append(Count(name=name, labels=dict(sample.labels), amount=amount))
        return tuple(found)


def add(counts: Iterable[Count]) -> None:
    """What a step's process has counted, as if it had been counted here."""
    for count in counts:
        if (counter := OF_CHILDREN.get(count.name)) is not None and count.amount > 0:
            (counter.labels(**count.labels) if count.labels else counter).inc(count.amount)


def redacted(counts: Mapping[str, int]) -> None:
    for kind, count in counts.items():
        REDACTIONS.labels(kind).inc(count)


def lag(since: float | None = None) -> None:
    """The reconciler is through a round; from now on its lag grows. `since`: of `time.monotonic`."""
    at = time.monotonic() if since is None else since
    RECONCILE_LAG.set_function(lambda: time.monotonic() - at)
