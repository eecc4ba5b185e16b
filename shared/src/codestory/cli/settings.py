"""What the command line takes from the environment."""

from typing import Annotated, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from codestory.cli.exits import BadUse

Settings = TypeVar("Settings", bound=BaseSettings)


class CliSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="CODESTORY_", env_ignore_empty=True, extra="ignore")

    #: Show tracebacks.
    debug: bool = False
    #: Seconds between two lines about one step's progress, where bars cannot move.
    progress_seconds: float = 5.0
    #: How long the shell's completion waits for the service, in seconds; then it offers nothing.
    completion_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0
    #: How long `doctor` waits for one answer, of the service or of a program.
    doctor_seconds: Annotated[float, Field(gt=0, le=600)] = 5.0
    #: With less free disk than this `doctor` fails; with less than four times as much it warns.
    doctor_free_bytes: Annotated[int, Field(ge=0)] = 1024**3


def read(kind: type[Settings]) -> Settings:
    """The settings of this kind. BadUse names the variable that is wrong."""
    try:
        return kind()
    except ValidationError as error:
        wrong = (f"CODESTORY_{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise BadUse("; ".join(wrong)) from error
