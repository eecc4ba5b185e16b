"""What may differ between two hosts whose service runs in containers."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

Seconds = Annotated[float, Field(gt=0, le=3600)]


class ContainersSettings(BaseSettings):
    """Read from CODESTORY_* by whoever mounts repositories into containers."""

    model_config = SettingsConfigDict(env_prefix="CODESTORY_", env_ignore_empty=True, extra="ignore", frozen=True)

    #: How long the containers may take to be exchanged and to be ready again. What runs in them is given back first.
    mount_seconds: Seconds = 300
    #: How often is looked whether they are.
    mount_poll_seconds: Seconds = 0.2
    #: How long a folder may look different in a container, while it is being written, before its mount is called stale.
    mount_settle_seconds: Seconds = 3
    #: How long another command may have compose.override.yaml to itself.
    mount_lock_seconds: Seconds = 30
    #: How long Docker may take for one answer.
    docker_seconds: Seconds = 10
    #: How long Docker Compose may take to read its files.
    compose_seconds: Seconds = 60
    #: How long `service start --repositories` may take, the building of images included.
    compose_up_seconds: Seconds = 1800
