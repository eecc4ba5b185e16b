"""How many jobs of one owner may be unfinished at once: those that are made, and those that run again."""

from codestory.contracts.jobs import Job
from codestory_orchestrator.errors import QuotaExceeded
from codestory_orchestrator.store import JobStore


class Quota:
    """`limit`: of each owner; 0: any number. Who need not say who they are has none."""

    def __init__(self, store: JobStore, limit: int) -> None:
        self.store, self.limit = store, limit

    def refuse_beyond(self, owner: str) -> None:
        """As far as this process has heard: jobs that come at the same moment may be a few more."""
        if self.limit and owner and sum(job.owner == owner for job in self.store.unfinished()) >= self.limit:
            raise QuotaExceeded(owner, self.limit)

    def refuse_again(self, before: Job, after: Job) -> None:
        """One that had ended and is to run again counts as a new one does; whoever asks, it is its owner's."""
        if before.state.ended and not after.state.ended:
            self.refuse_beyond(before.owner)
