"""How to reach the bus, and as whom."""

import ssl
from pathlib import Path
from typing import Annotated, Self

from faststream.nats import NatsNKey
from faststream.security import BaseSecurity, SASLPlaintext
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from codestory.nats_users.permissions import inbox_prefix


class BusSettings(BaseSettings):
    """How to reach the bus, and the intervals that both ends of it share. Seconds, where a name says so."""

    model_config = SettingsConfigDict(env_prefix="CODESTORY_", frozen=True, extra="ignore")

    nats_url: str = "nats://127.0.0.1:4222"
    nats_user: str = ""
    nats_password: SecretStr = SecretStr("")
    nats_password_file: Path | None = None
    #: The secret key of this process's own user, as `codestory auth nats` makes it. Then it needs no password.
    nats_nkey_seed_file: Path | None = None
    #: Under which it hears answers. Empty: `_INBOX`; with a key: the one that its user may hear.
    nats_inbox_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]*$")] = ""
    #: Who has signed the server's certificate. It is asked for TLS then, or where the URL begins with tls://.
    nats_tls_ca_file: Path | None = None
    #: All names on the server carry it, so that two stacks can share one.
    namespace: str = "codestory"
    nats_ping_seconds: int = 5
    nats_connect_seconds: float = 5.0
    nats_reconnect_seconds: float = 0.2
    #: One request to the server.
    nats_request_seconds: float = 5.0
    #: How long one message is offered to a server that does not answer, before the caller hears `BusLost`.
    nats_patience_seconds: float = 30.0
    #: A command whose worker has not been heard of for so long is given to another.
    ack_wait_seconds: float = 30.0
    #: A worker that has not been heard of for so long is gone.
    presence_seconds: float = 15.0

    def password(self) -> str:
        return (
            self.nats_password_file.read_text().strip()
            if self.nats_password_file
            else self.nats_password.get_secret_value()
        )

    def inbox_prefix_of(self, user: str) -> str:
        derived = inbox_prefix(user) if self.nats_nkey_seed_file else "_INBOX"
        return self.nats_inbox_prefix or derived

    @model_validator(mode="after")
    def _readable(self) -> Self:
        """Said at the start: a client that may not read its key would try for ever."""
        for file in (self.nats_password_file, self.nats_nkey_seed_file, self.nats_tls_ca_file):
            if file is not None:
                try:
                    file.read_bytes()
                except OSError as error:
                    raise ValueError(f"{file} cannot be read: {error.strerror}") from error
        return self


def security(settings: BusSettings) -> BaseSecurity | None:
    """Who we are to the server, and whose certificate it is to have. None: nobody, and any."""
    authority = settings.nats_tls_ca_file
    context = ssl.create_default_context(cafile=authority) if authority else None
    if settings.nats_nkey_seed_file:
        return NatsNKey(settings.nats_nkey_seed_file, ssl_context=context)
    if settings.nats_user:
        return SASLPlaintext(username=settings.nats_user, password=settings.password(), ssl_context=context)
    return BaseSecurity(ssl_context=context) if context else None
