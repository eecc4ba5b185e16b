"""How to reach the bus, and as whom."""

import ssl
from pathlib import Path
from typing import Annotated, Self

from faststream.nats import NatsNKey, NatsSecurity, NatsUserPassword
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from codestory import bus_tls
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
    #: Our own certificate, where the server wants one, and its key unless that is in the same file. PEM.
    nats_tls_cert_file: Path | None = None
    nats_tls_key_file: Path | None = None
    #: Not a word in the open, not even the server's greeting: it must have `handshake_first: true` in its `tls` then.
    nats_tls_first: bool = False
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
    #: What a process says of jobs, its spans and log lines, is put beside their events so often.
    keep_seconds: float = Field(default=0.5, gt=0)
    #: A process that ends takes so long at most to export its last spans.
    export_seconds: float = Field(default=2.0, ge=0)

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
        files = (self.nats_tls_ca_file, self.nats_tls_cert_file, self.nats_tls_key_file)
        for file in (self.nats_password_file, self.nats_nkey_seed_file, *files):
            if file is not None:
                try:
                    file.read_bytes()
                except OSError as error:
                    raise ValueError(f"{file} cannot be read: {error.strerror}") from error
        if self.nats_tls_first and not (self.nats_tls_ca_file or self.nats_url.startswith("tls://")):
            raise ValueError("CODESTORY_NATS_TLS_FIRST needs a CODESTORY_NATS_URL that begins with tls://")
        if self.nats_tls_key_file and not self.nats_tls_cert_file:
            raise ValueError("CODESTORY_NATS_TLS_KEY_FILE needs CODESTORY_NATS_TLS_CERT_FILE beside it")
        try:
            self.tls()
        except OSError as error:
            named = ", ".join(map(str, filter(None, files)))
            raise ValueError(f"{named}: no certificates, or a key that is not theirs or has a password") from error
        return self

    def tls(self) -> ssl.SSLContext | None:
        """None: it is not asked for."""
        return bus_tls.context(self.nats_url, *(self.nats_tls_ca_file, self.nats_tls_cert_file, self.nats_tls_key_file))


def security(settings: BusSettings) -> NatsSecurity | None:
    """Who we are to the server, and whose certificate it is to have. None: nobody, and any."""
    context, first = settings.tls(), settings.nats_tls_first
    if settings.nats_nkey_seed_file:
        return NatsNKey(settings.nats_nkey_seed_file, ssl_context=context, tls_handshake_first=first)
    if settings.nats_user:
        password = settings.password()
        return NatsUserPassword(settings.nats_user, password, ssl_context=context, tls_handshake_first=first)
    return NatsSecurity(ssl_context=context, tls_handshake_first=first) if context else None
