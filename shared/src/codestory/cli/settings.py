"""What the command line itself takes from the environment."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class CliSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="CODESTORY_", extra="ignore")

    #: Show tracebacks.
    debug: bool = False
    #: Seconds between two lines about one step's progress, where bars cannot move.
    progress_seconds: float = 5.0
