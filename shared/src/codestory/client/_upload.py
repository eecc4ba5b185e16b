"""What an upload sends, one request after the other. Both clients send it; here nothing is sent."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from codestory.client._calls import JOBS, Call
from codestory.client._errors import Conflict, NotFound, ProblemError, RepositoryUnreadable
from codestory.contracts.snapshots import PART_TYPE, PREFIX, SnapshotKind, SnapshotView
from codestory.repository_identity import RepositoryError, identify
from codestory.snapshots.packing import Packing, Part
from codestory.step_errors import StepError

#: Rounds over all parts. A second is needed if parts that were there expired during the first.
ROUNDS = 3

Answered = SnapshotView | ProblemError | None
Sending = Generator[Call[SnapshotView], Answered, None]


@dataclass(frozen=True, slots=True)
class UploadProgress:
    """How far an upload is: bytes of files that are through, of how many, and bytes that had to be sent."""

    done: int
    total: int
    sent: int


#: Told after each part.
OnProgress = Callable[[UploadProgress], None]


class Upload:
    """One repository's. Reading and packing block: `next` wants a thread where there is a loop."""

    def __init__(self, path: Path, name: str | None) -> None:
        self._path, self._name = path, name
        self._done = self._total = self._sent = 0
        #: As a job names it, once `next` has said that nothing is left to send.
        self.snapshot = ""
        self._sending = self._all()

    @property
    def progress(self) -> UploadProgress:
        return UploadProgress(self._done, self._total, self._sent)

    def next(self, answer: Answered = None) -> Call[SnapshotView] | None:
        """The next request, given what came of the last one, which may be NotFound or Conflict. None: it is done."""
        try:
            return self._sending.send(answer)
        except StopIteration:
            return None
        except (RepositoryError, StepError, OSError) as error:
            raise RepositoryUnreadable(f"The repository cannot be uploaded: {error}.") from error

    def expected(self, error: ProblemError) -> bool:
        """An answer that the upload knows how to go on from."""
        return isinstance(error, NotFound | Conflict)

    def _all(self) -> Sending:
        repository = identify(self._path, self._name)
        for left in reversed(range(ROUNDS)):
            with Packing(repository) as packing:
                self._done, self._total = 0, packing.total
                for part in packing.parts():
                    yield from self._part(part)
                    self._done = packing.done
                manifest = packing.manifest()
            snapshot = sha256(manifest).hexdigest()
            answer = yield Call("PUT", _path(snapshot), SnapshotView, body=manifest, again=True)
            if not isinstance(answer, ProblemError):
                self.snapshot = PREFIX + snapshot
                return
            if not left or not isinstance(answer, Conflict):
                raise answer

    def _part(self, part: Part) -> Sending:
        """Looked for first: to send it takes longer."""
        path = _path(part.sha256)
        answer = yield Call("GET", path, SnapshotView, again=True)
        if isinstance(answer, SnapshotView) and answer.kind is SnapshotKind.PART:
            return
        answer = yield Call("PUT", path, SnapshotView, body=part.data, again=True, headers={"Content-Type": PART_TYPE})
        if isinstance(answer, ProblemError):
            raise answer
        self._sent += len(part.data)


def _path(sha256: str) -> str:
    return f"{JOBS}/snapshots/{sha256}"
