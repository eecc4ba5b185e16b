"""What the command line takes from the environment."""

from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from codestory.cli.exits import BadUse

Settings = TypeVar("Settings", bound=BaseSettings)


class CliSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="CODESTORY_", env_ignore_empty=True, extra="ignore")

    #: Show tracebacks.
    debug: bool = False
    #: Seconds between two lines about one step's progress, where bars cannot move.
    progress_seconds: float = 5.0


def read(kind: type[Settings]) -> Settings:
    """The settings of this kind. BadUse names the variable that is wrong."""
    try:
        return kind()
    except ValidationError as error:
        wrong = (f"CODESTORY_{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise BadUse("; ".join(wrong)) from error
