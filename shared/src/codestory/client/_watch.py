"""What to do next while a job is watched: listen, look, wait or give up. Knows no socket and no clock."""

import json
from typing import Any, cast, get_args

from codestory.client._errors import StillRunning, UnexpectedAnswer
from codestory.client._transport import Patience
from codestory.contracts.api import JobView, StatusMessage
from codestory.contracts.values import now as wall_clock

#: After so many WebSockets in a row that did not come to anything, the job is looked at by requests instead.
REFUSALS = 3
KINDS: frozenset[str] = frozenset(get_args(StatusMessage.model_fields["kind"].annotation))


class Watch:
    """One job being watched. Times are seconds of one monotonic clock.

    The client listens to the status feed. Each time that it is lost, the client looks at the job by a request: this
    tells an end that was missed, a job that does not exist, and a service that is away.
    """

    def __init__(self, patience: Patience, *, streams: bool, now: float, timeout: float | None = None) -> None:
        self._patience = patience
        self._streams = streams
        self._deadline = None if timeout is None else now + timeout
        self._contact = now
        self._opened, self._spoke = now, False
        self._refusals = 0
        self._failures = 0
        self._seq = 0
        self.ended = False

    @property
    def listens(self) -> bool:
        return self._streams and self._refusals < REFUSALS

    def opened(self, now: float) -> None:
        self._opened, self._spoke = now, False

    def listen_for(self, now: float) -> float:
        """Seconds to wait for the next message."""
        return self._until_deadline(self._patience.silence, now)

    def heard(self, frame: str | bytes, now: float) -> StatusMessage | None:
        """The message in this frame; None if it is of a kind that only newer clients know."""
        self._contact, self._spoke, self._failures = now, True, 0
        try:
            content: Any = json.loads(frame)
            kind = cast("dict[str, Any]", content).get("kind") if isinstance(content, dict) else None
            if isinstance(kind, str) and kind not in KINDS:
                return None
            message = StatusMessage.model_validate(content)
        except ValueError as error:  # ValidationError and JSONDecodeError are ValueErrors
            raise UnexpectedAnswer(
                "The status feed does not speak like a Code Story service of this version."
            ) from error
        self._seq = message.seq
        self.ended = message.kind == "ended"
        return message

    def lost(self, now: float) -> None:
        """The feed could not be had, or broke off. One that spoke and lived for a while was a good one."""
        good = self._spoke and now - self._opened > self._patience.poll_interval
        self._refusals = 0 if good else self._refusals + 1

    def looked(self, job: JobView, now: float) -> StatusMessage:
        """The message that the feed would have sent."""
        self._contact, self._failures = now, 0
        self._seq += 1
        self.ended = job.state.ended
        return StatusMessage(kind="ended" if self.ended else "job", seq=self._seq, job=job, at=wall_clock())

    def away(self, now: float) -> bool:
        """The service does not answer. True: for too long."""
        self._failures += 1
        self._refusals = 0  # nobody was there to refuse
        return now - self._contact > self._patience.give_up_after

    def pause(self, now: float) -> float:
        """Seconds until the next round. Raises StillRunning when the time given is over."""
        if self._deadline is not None and now >= self._deadline:
            raise StillRunning("The job has not ended in the time given. It goes on.")
        wait = self._patience.pause(self._failures or self._refusals or 1)
        return self._until_deadline(wait if self.listens or self._failures else self._patience.poll_interval, now)

    def _until_deadline(self, seconds: float, now: float) -> float:
        return seconds if self._deadline is None else max(0.0, min(seconds, self._deadline - now))
