"""What each user of the bus may publish and hear: only what its program does. Nothing else is allowed.

Who may ask JetStream for a message may read any of that stream; so no secret lies in a stream."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

STREAMS: Final = ("READY", "RUN", "EVENTS", "LOGS", "ADVISORIES")
BUCKETS: Final = ("jobs", "cancel", "limits", "steps", "lease", "workers", "idempotency", "tickets")
OBJECTS: Final = "snapshots"
#: Users that are no steps. A step cannot have one of these names: its own begins with `step-`.
ORCHESTRATOR, OPERATOR, OBSERVER = "orchestrator", "operator", "observer"
#: Verbs of the orchestrator that tell and change nothing.
TELLING: Final = ("health", "resources", "holders", "limits", "steps", "scale", "describe")


@dataclass(frozen=True)
class Permissions:
    """Subjects, with the bus's wildcards."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def user_of_step(step: str) -> str:
    return f"step-{step}"


def inbox_prefix(user: str) -> str:
    """Under which a user hears the answers to its requests, and nobody else."""
    return f"_INBOX_{user}"


@dataclass(frozen=True)
class Names:
    """The names of one stack on the server."""

    namespace: str

    def subject(self, *tokens: str) -> str:
        return ".".join((self.namespace, *tokens))

    def stream(self, name: str) -> str:
        return f"{self.namespace}_{name}"

    def bucket(self, name: str) -> str:
        return f"KV_{self.namespace}_{name}"

    @property
    def objects(self) -> str:
        return f"OBJ_{self.namespace}_{OBJECTS}"

    def all(self) -> list[str]:
        """Every stream, those behind buckets too."""
        return [*map(self.stream, STREAMS), *map(self.bucket, BUCKETS), self.objects]


def of_orchestrator(namespace: str) -> Permissions:
    """All that belongs to its namespace: it declares it. Nothing of other stacks on the same server."""
    names = Names(namespace)
    api = [
        subject
        for stream in names.all()
        for subject in (
            *(f"$JS.API.STREAM.{verb}.{stream}" for verb in ("CREATE", "UPDATE", "INFO", "PURGE")),
            *(f"$JS.API.STREAM.MSG.{verb}.{stream}" for verb in ("GET", "DELETE")),
            *_direct(stream),
            f"$JS.API.CONSUMER.CREATE.{stream}",
            f"$JS.API.CONSUMER.CREATE.{stream}.>",
            f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.*",
            *(f"$JS.API.CONSUMER.{verb}.{stream}.*" for verb in ("INFO", "DELETE", "MSG.NEXT")),
            f"$JS.ACK.{stream}.>",
        )
    ]
    return Permissions(
        publish=(
            names.subject(">"),
            *(f"$KV.{namespace}_{bucket}.>" for bucket in BUCKETS),
            f"$O.{namespace}_{OBJECTS}.>",
            "$JS.API.INFO",
            *api,
            *(f"{inbox_prefix(user)}.>" for user in (OPERATOR, OBSERVER)),  # its answers
        ),
        subscribe=(
            f"{inbox_prefix(ORCHESTRATOR)}.>",
            *(names.subject(*tokens) for tokens in (("live", ">"), ("room", "*"), ("gone", "*", "*"), ("bell",))),
            *(names.subject(*tokens) for tokens in (("api", "*"), ("step", "*", "*"))),
            "$SRV.>",
        ),
    )


def of_step(namespace: str, step: str) -> Permissions:
    """Say what its own step does, take its own commands, look whether they are still its own."""
    names = Names(namespace)
    run, events, cancel = names.stream("RUN"), names.stream("EVENTS"), names.bucket("cancel")
    return Permissions(
        publish=(
            names.subject("evt", "*", step, "*"),
            names.subject("progress", "*", step),
            names.subject("log", "*", step),
            names.subject("span", "*", step),
            names.subject("room", step),
            names.subject("gone", step, "*"),
            f"$KV.{namespace}_steps.{step}",
            f"$KV.{namespace}_workers.{step}.*",
            f"$JS.API.STREAM.INFO.{events}",
            f"$JS.API.STREAM.INFO.{names.bucket('workers')}",
            f"$JS.API.STREAM.MSG.GET.{events}",
            f"$JS.API.STREAM.MSG.GET.{cancel}",
            f"$JS.API.CONSUMER.INFO.{run}.{step}",
            f"$JS.API.CONSUMER.MSG.NEXT.{run}.{step}",
            f"$JS.ACK.{run}.{step}.>",
            f"$JS.API.STREAM.MSG.GET.{names.objects}",  # repositories that were uploaded or fetched
            *_direct(names.objects),
        ),
        subscribe=(f"{inbox_prefix(user_of_step(step))}.>", names.subject("control", "*")),
    )


def of_operator(namespace: str) -> Permissions:
    """A person who may ask the orchestrator anything, and read every stream and bucket. Writes into none of them, and
    makes no consumer: whoever may could have the server send what is stored wherever they like."""
    names = Names(namespace)
    return Permissions(
        publish=(
            names.subject("api", "*"),
            names.subject("step", "*", "*"),
            *_measuring(names),
            *(subject for stream in names.all() for subject in _reading(stream)),
            *(subject for stream in names.all() for subject in _backing_up(stream)),
        ),
        subscribe=(f"{inbox_prefix(OPERATOR)}.>", names.subject("live", ">")),
    )


def of_observer(namespace: str) -> Permissions:
    """Monitoring: figures, and no message of any stream."""
    names = Names(namespace)
    return Permissions(
        publish=(*(names.subject("api", verb) for verb in TELLING), *_measuring(names)),
        subscribe=(f"{inbox_prefix(OBSERVER)}.>",),
    )


def users(namespace: str, steps: Iterable[str]) -> dict[str, Permissions]:
    """All users of a stack with these steps."""
    return {
        ORCHESTRATOR: of_orchestrator(namespace),
        **{user_of_step(step): of_step(namespace, step) for step in steps},
        OPERATOR: of_operator(namespace),
        OBSERVER: of_observer(namespace),
    }


def _direct(stream: str) -> tuple[str, ...]:
    return f"$JS.API.DIRECT.GET.{stream}", f"$JS.API.DIRECT.GET.{stream}.>"


def _measuring(names: Names) -> tuple[str, ...]:
    """How much there is of everything, and who lags behind."""
    of_streams = (
        subject
        for stream in names.all()
        for subject in (
            f"$JS.API.STREAM.INFO.{stream}",
            f"$JS.API.CONSUMER.INFO.{stream}.*",
            f"$JS.API.CONSUMER.LIST.{stream}",
            f"$JS.API.CONSUMER.NAMES.{stream}",
        )
    )
    return (
        *("$JS.API.INFO", "$JS.API.STREAM.LIST", "$JS.API.STREAM.NAMES"),
        *of_streams,
        *("$SRV.PING", "$SRV.PING.>", "$SRV.INFO", "$SRV.INFO.>", "$SRV.STATS", "$SRV.STATS.>"),
    )


def _reading(stream: str) -> tuple[str, ...]:
    return f"$JS.API.STREAM.MSG.GET.{stream}", *_direct(stream)


def _backing_up(stream: str) -> tuple[str, ...]:
    return f"$JS.API.STREAM.SNAPSHOT.{stream}", f"$JS.SNAPSHOT.ACK.{stream}.>"
