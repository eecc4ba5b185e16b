"""What may be fetched, and how much it may take."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from codestory.contracts.access import Role


class GitCredential(BaseModel):
    """A secret, and the one host that it is for: sent to no other, whoever asks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    #: `user:token`, or a private key for ssh. Read anew each time.
    file: Path
    #: Who may name it: these owners' jobs and schedules alone; empty: everybody's.
    owners: tuple[str, ...] = ()
    #: And with at least this role, when the job or the schedule is made.
    role: Role = Role.OPERATOR

    def serves(self, owner: str) -> bool:
        return not self.owners or owner in self.owners


class FetchSettings(BaseSettings):
    """Prefix CODESTORY_. Seconds and bytes, where a name says so."""

    model_config = SettingsConfigDict(env_prefix="CODESTORY_", frozen=True, extra="ignore")

    #: From which hosts repositories are fetched, a JSON list. `*`: any; `*.example.org`: those below it; empty: none.
    git_hosts: tuple[str, ...] = ("*",)
    #: Hosts whose addresses are private are refused unless they are named here, by name: the service may reach what
    #: those who ask may not.
    git_private_hosts: tuple[str, ...] = ()
    #: `file://` addresses, for services that serve this machine only.
    git_files: bool = False
    #: A JSON object: name of the secret → {"host": …, "file": …}, and who may use it: "owners": […], "role": "admin".
    git_credentials: dict[str, GitCredential] = {}
    #: The keys of ssh hosts. Otherwise the system's own file; a host that is in neither is refused.
    git_known_hosts: Path | None = None
    #: Who has signed the certificates of https hosts, beside those whom the system trusts. PEM.
    git_ca_file: Path | None = None
    #: Whether a job may ask for the submodules too. What holds of the repository holds of each: the hosts, the secrets;
    #: and they count towards the limits of its fetch.
    git_submodules: bool = False
    #: Submodules of submodules: so many levels, and no more of them in all than the number after that.
    git_submodule_depth: int = Field(default=3, ge=1, le=20)
    git_submodules_max: int = Field(default=100, ge=1, le=10_000)
    #: One fetch, from the first question to the last file.
    git_timeout_seconds: float = Field(default=600.0, gt=0)
    #: What it may take on disk, history and files together.
    git_max_bytes: int = Field(default=2 * 1024**3, ge=1)
    #: How often that is looked at.
    git_watch_seconds: float = Field(default=0.5, gt=0)
    #: Where repositories are fetched to, and removed from at once. Otherwise the system's temporary folder.
    git_directory: Path | None = None
    #: Fetches at once, at each orchestrator.
    fetch_parallel: int = Field(default=2, ge=1, le=100)
    #: What failed for the network's sake is tried again so often, each time after twice as long.
    fetch_retries: int = Field(default=3, ge=0)
    fetch_back_off_seconds: float = Field(default=10.0, gt=0)
    #: How often it is looked whether something is to be fetched that nobody has told of.
    fetch_seconds: float = Field(default=2.0, gt=0)
    #: A fetch whose orchestrator has not been heard of for so long is begun anew by another.
    fetch_lease_seconds: int = Field(default=15, ge=1)
