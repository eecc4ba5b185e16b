"""The files of a bundle, and what each of them is: as its README says it."""

from typing import Final

README, MANIFEST = "README.md", "bundle.json"

HEAD: Final = """\
# Support bundle of job {job}

Made {at} by Code Story {version} for {reader}.

Secrets have been left out: every setting that holds one, user and password of every address, and whatever looks like a
key, a token or a password. `[REDACTED:...]` and `[secret: ...]` stand where they were. Look through it before you hand
it on all the same: it names repositories, folders and files, and what steps wrote is in it as they wrote it.

Times are UTC. `*.jsonl` has one JSON object a line. `bundle.json` says the same as this page, for programs.
"""

JOB, RECORD, WHY = "job/job.json", "job/record.json", "job/why.json"
MESSAGES, EVENTS, TRACE, LOGS = "job/messages.json", "job/events.jsonl", "job/trace.json", "job/logs.jsonl"
HEALTH, STEPS, TOKENS, METRICS = (
    "service/health.json",
    "service/steps.json",
    "service/tokens.json",
    "service/metrics.txt",
)
SETTINGS, VERSIONS, PIPELINE = "service/settings.json", "service/versions.json", "service/pipeline_config.json"
GRAPH, STREAMS, ORCHESTRATORS = "service/graph.json", "service/streams.json", "service/orchestrators.json"

FILES: Final = {
    RECORD: "the job's record as it is stored: plan, options, every step with all its attempts.",
    JOB: "the job as `codestory ingest status` shows it.",
    WHY: "what it waits for, link by link.",
    MESSAGES: "which messages of it lie in each stream, and whether a cancel or stop stands.",
    EVENTS: "what happened to it, the oldest first.",
    TRACE: "where its time went: the spans of every service.",
    LOGS: "what steps, their hosts and the orchestrator wrote about it, the oldest first.",
    HEALTH: "how the service is, and what it depends on.",
    STEPS: "the steps that exist, their workers and queues.",
    TOKENS: "who holds each admission token.",
    METRICS: "the metrics of the orchestrator that made this, as Prometheus reads them.",
    SETTINGS: "the settings of the orchestrator that made this, and of the service of each step as it last registered; "
    "and the CODESTORY_ variables around them that no setting has, by name.",
    VERSIONS: "of Code Story, Python, the packages and the machine of each service, and of the NATS server.",
    PIPELINE: "the service's own pipeline_config.yml.",
    GRAPH: "which graph server answers.",
    STREAMS: "every stream and bucket: configuration and state; and the consumers.",
    ORCHESTRATORS: "the orchestrators that live, and a fingerprint of the pipeline file of each.",
}
#: What says how the deployment is set up is for those who run it.
FOR_ADMINS: Final = (SETTINGS, VERSIONS, PIPELINE, GRAPH, STREAMS, ORCHESTRATORS)
