"""Where everything of one embedded stack lies."""

import stat
from dataclasses import dataclass
from pathlib import Path

from codestory.local.errors import StateUnusable

#: Nobody but the user reads state, secrets or logs.
PRIVATE = 0o700


@dataclass(frozen=True, slots=True)
class StatePaths:
    """The state directory of one stack and the names in it."""

    root: Path

    @property
    def record(self) -> Path:
        """What runs now; written by the supervisor."""
        return self.root / "stack.json"

    @property
    def plan(self) -> Path:
        """What is to run; written by `start`."""
        return self.root / "plan.json"

    @property
    def ports(self) -> Path:
        return self.root / "ports.json"

    @property
    def version(self) -> Path:
        """The newest version that has run here."""
        return self.root / "version"

    @property
    def start_lock(self) -> Path:
        """Held while somebody starts or stops the stack."""
        return self.root / "start.lock"

    @property
    def supervisor_lock(self) -> Path:
        """Held as long as the supervisor lives."""
        return self.root / "supervisor.lock"

    @property
    def pipeline_config(self) -> Path:
        return self.root / "pipeline_config.yml"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def nats(self) -> Path:
        return self.root / "nats"

    @property
    def graph(self) -> Path:
        return self.root / "graph"

    @property
    def snapshots(self) -> Path:
        """Unpacked ones; whoever unpacks the first makes it."""
        return self.root / "snapshots"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def supervisor_output(self) -> Path:
        """What the supervisor says when its own log is not yet open."""
        return self.logs / "supervisor.out"

    def log(self, process: str) -> Path:
        return self.logs / f"{process}.log"

    def make(self) -> None:
        """Make the directories, for this user only. Done again it mends their permissions."""
        try:
            for folder in (self.root, self.secrets, self.nats, self.graph, self.logs):
                folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
                if stat.S_IMODE(folder.stat().st_mode) != PRIVATE:
                    folder.chmod(PRIVATE)
        except OSError as error:
            raise StateUnusable(
                f"{self.root} cannot be used for state ({error.strerror}); set CODESTORY_STATE_DIR"
            ) from error


def state_paths(state_dir: Path | None) -> StatePaths:
    """Those of the given directory, otherwise of the user's state directory (XDG_STATE_HOME is honoured)."""
    if state_dir is None:
        import platformdirs  # noqa: PLC0415  the supervisor is told its directory and need not load it

        state_dir = Path(platformdirs.user_state_dir("codestory", appauthor=False))
    return StatePaths(state_dir.expanduser().absolute())
