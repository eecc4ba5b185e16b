"""How the graph is reached and written; everything here may differ between two deployments."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from codestory.graph.errors import GraphUnavailable


class GraphSettings(BaseSettings):
    """Read from the environment, prefix CODESTORY_."""

    model_config = SettingsConfigDict(env_prefix="CODESTORY_", extra="ignore")

    neo4j_uri: str = "bolt://127.0.0.1:7687"
    neo4j_user: str = "neo4j"
    neo4j_password: SecretStr = SecretStr("")
    #: A file that holds the password. It wins over neo4j_password.
    neo4j_password_file: Path | None = None
    neo4j_database: str = "neo4j"

    #: Rows in one transaction. Measured: 500 to 5,000 differ by less than the noise.
    graph_batch_rows: int = Field(default=1000, ge=1)
    #: Bytes of properties in one transaction, so that rows of long texts do not fill the server's memory.
    graph_batch_bytes: int = Field(default=4 * 2**20, ge=1)
    #: How long a transaction is tried again while the server is away or busy.
    graph_retry_seconds: float = Field(default=60, ge=0)
    #: How long one transaction may take. A writer that was stopped in the middle of one holds its locks until then.
    graph_transaction_seconds: float = Field(default=60, gt=0)
    graph_connect_timeout: float = Field(default=5, gt=0)
    #: The fraction of a step's nodes, or of its relationships, that one run may make vanish. 1: all of them.
    graph_shrink_limit: float = Field(default=0.9, ge=0, le=1)
    #: Bytes of a step's properties held in memory; what is more goes to a temporary file.
    graph_content_memory_bytes: int = Field(default=256 * 2**20, ge=0)

    def password(self) -> str:
        if self.neo4j_password_file is None:
            return self.neo4j_password.get_secret_value()
        try:
            return self.neo4j_password_file.read_text("utf-8").strip()
        except OSError as error:
            raise GraphUnavailable(f"The password file of the graph cannot be read: {error}") from error
