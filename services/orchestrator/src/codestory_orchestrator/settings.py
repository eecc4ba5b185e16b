"""Everything that two deployments of the orchestrator may set differently."""

from pathlib import Path

from pydantic import Field, model_validator

from codestory.bus_settings import BusSettings
from codestory_orchestrator.access.loopback import is_loopback
from codestory_orchestrator.access.settings import AccessSettings
from codestory_orchestrator.records import MARKER_SECONDS


class OrchestratorSettings(AccessSettings, BusSettings):
    """Prefix CODESTORY_. Seconds, where a name says so."""

    host: str = "127.0.0.1"
    port: int = Field(default=8420, ge=0, le=65535)
    pipeline_config: Path = Path("pipeline_config.yml")
    #: Names in `Host` that are answered, a JSON list; `*`: any. Empty: on loopback its own names; elsewhere any, since
    #: nobody is served without a key there.
    allowed_hosts: tuple[str, ...] = ()
    #: Repositories must lie below one of these, a JSON list. Empty: without authentication anywhere, as this machine's
    #: own user; with it nowhere: then they are uploaded, or cloned.
    repository_roots: tuple[Path, ...] = ()
    #: Steps admitted at once, over all jobs. Taken when the stream is made and when this changes; set live it stays.
    resource_max_tokens: int = Field(default=4, ge=1, le=100_000)
    #: On how many servers of a NATS cluster each stream and bucket lies: 3, or 5, in a cluster. Raised when this is,
    #: and never lowered.
    nats_replicas: int = Field(default=1, ge=1, le=5)
    #: The reconciler's round: what was lost between two lines is sent again.
    reconcile_seconds: float = 5.0
    #: The dispatcher's fallback when no bell rings.
    dispatch_seconds: float = 0.25
    #: A command that has waited so long counts as of the next higher priority, and again after as long. 0: never.
    priority_age_seconds: float = Field(default=600.0, ge=0)
    #: How long the right to fill RUN outlives its holder.
    dispatch_lease_seconds: int = Field(default=5, ge=1)
    #: How old what is remembered of a step's live concurrency, and of who lives, may be before it is asked for again.
    limits_seconds: float = Field(default=1.0, ge=0)
    #: How long a step that is cancelled or stopped may take to end itself before the orchestrator ends it.
    cancel_grace_seconds: float = 10.0
    #: An entry in a repository's queue whose job was never recorded is dropped after this.
    queue_entry_seconds: float = 30.0
    #: A job that ended so long ago is forgotten, with its events and log lines. 0: never for its age.
    jobs_max_age_seconds: float = Field(default=30 * 86_400, ge=0)
    #: Of the jobs that have ended so many are kept, the newest. 0: all. Orchestrators remember about 10 kB of each.
    jobs_max_count: int = Field(default=5000, ge=0)
    #: How often that is looked after.
    retention_seconds: float = Field(default=60.0, gt=0)
    #: So long a request with the same Idempotency-Key is taken for the same. A removed record is remembered for a day.
    idempotency_seconds: float = Field(default=86_400, gt=0, le=MARKER_SECONDS)
    #: Of one request for many jobs, so many are asked at a time.
    bulk_in_flight: int = Field(default=8, ge=1, le=100)
    #: What the event history and the logs keep. The server sets so many bytes aside, for the snapshots too.
    events_max_age_seconds: float = 30 * 86_400
    events_max_bytes: int = 256 * 1024 * 1024
    logs_max_age_seconds: float = 7 * 86_400
    logs_max_bytes: int = 256 * 1024 * 1024
    #: Whoever follows a job's history is sent so many events or lines at a time.
    history_batch: int = Field(default=200, ge=1, le=1000)
    #: And so many bytes, a single larger one excepted: what each of them costs in memory. So also of a page.
    history_batch_bytes: int = Field(default=4 * 1024 * 1024, ge=1)
    #: For whoever follows it is looked so often, even if nothing says that there is more.
    history_poll_seconds: float = Field(default=2.0, gt=0)
    #: Of the trace of one job so many spans are told.
    trace_spans: int = Field(default=2000, ge=1, le=20_000)
    #: A support bundle has so many bytes at most, unpacked; what does not fit is left out and named.
    bundle_max_bytes: int = Field(default=24 * 1024 * 1024, ge=64 * 1024)
    #: To make one takes so long at most, and to ask for one part of it; what has not come by then is named.
    bundle_seconds: float = Field(default=20.0, gt=0)
    bundle_part_seconds: float = Field(default=5.0, gt=0)
    #: So many are made at once, at each orchestrator.
    bundles_in_flight: int = Field(default=2, ge=1)
    #: How often the services that this one depends on are looked at, for its metrics.
    dependencies_seconds: float = Field(default=5.0, gt=0)
    #: What the store of uploaded and fetched repositories keeps. One that no job has asked for in so long goes, unless
    #: a job that has not ended needs it.
    snapshots_max_age_seconds: float = Field(default=7 * 86_400, gt=0)
    snapshots_max_bytes: int = 1024 * 1024 * 1024
    #: How often that is looked after.
    snapshots_sweep_seconds: float = Field(default=600.0, gt=0)
    #: One part of an upload. Ours have 8 MB at most.
    snapshot_part_bytes: int = Field(default=16 * 1024 * 1024, ge=1)
    #: A running step that has said nothing new for so long is called stalled, and what it was at is named.
    stalled_seconds: float = Field(default=60.0, gt=0)
    #: Who works on the deletion of a repository and has not been heard of for so long is gone; another takes it over.
    deletion_takeover_seconds: float = Field(default=15.0, gt=0)
    #: A question about repositories is answered within this, or with "the graph is away".
    repositories_graph_seconds: float = Field(default=5.0, gt=0)
    #: How old the answer to a scaler's question may be.
    scale_seconds: float = Field(default=1.0, ge=0)
    #: A plan counts the repository's files for so long at most.
    plan_count_seconds: float = Field(default=3.0, gt=0)
    #: Requests of operators over NATS: so many are worked on at once, and so large may one be.
    operators_in_flight: int = Field(default=32, ge=1)
    operators_max_body_bytes: int = Field(default=256 * 1024, ge=1024)
    #: Who listens hears something at least this often; so soon it ends for a key or token that does not count any more.
    ws_heartbeat_seconds: float = Field(default=15.0, gt=0, le=60)
    ws_send_seconds: float = 10.0
    #: A browser whose event stream breaks off comes back after so long.
    sse_retry_seconds: float = Field(default=1.0, ge=0)
    log_level: str = "INFO"

    @property
    def on_loopback(self) -> bool:
        return is_loopback(self.host)

    @model_validator(mode="after")
    def _who_may_ask(self) -> "OrchestratorSettings":
        if not self.on_loopback and not self.authenticates:
            raise ValueError(
                f"CODESTORY_HOST={self.host} is more than this machine, and nobody would have to say who they are. "
                "Make a key with `codestory auth keys create --owner NAME --role admin --file keys.json` and set "
                "CODESTORY_API_KEYS_FILE=keys.json, or set CODESTORY_OIDC_ISSUER and CODESTORY_OIDC_AUDIENCE; "
                "or stay on 127.0.0.1"
            )
        return self
