"""A file of API keys, one for each kind of caller, and the whole API behind it: for tests of who may do what."""

from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI

from codestory import api_keys
from codestory.api_keys import editing
from codestory.contracts.access import Role
from codestory.contracts.values import now
from codestory_orchestrator.access.door import Door
from codestory_orchestrator.access.settings import AccessSettings
from codestory_orchestrator.access.tickets import Tickets
from codestory_orchestrator.api import ApiSettings, create_app
from codestory_orchestrator.testing_api import ScriptedIngestion

TEAM: Final = "team"
OTHERS: Final = "others"


class KeysFile:
    """Whose key is `viewer`, `operator` and so on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ids: dict[str, str] = {}
        self._shown: dict[str, str] = {}
        for role in Role:
            self.add(role.value, TEAM, role)
        self.add("other", OTHERS, Role.OPERATOR)
        self.add("expired", TEAM, Role.ADMIN, ended=True)

    def add(self, name: str, owner: str, role: Role, *, ended: bool = False) -> None:
        ends = now() - timedelta(seconds=1) if ended else None
        key, shown = api_keys.made(owner=owner, role=role, at=now(), expires_at=ends)
        editing.change(self.path, lambda ring: ring.model_copy(update={"keys": (*ring.keys, key)}))
        self.ids[name], self._shown[name] = key.id, str(shown)

    def shown(self, name: str) -> str:
        return self._shown[name]

    def headers(self, name: str) -> dict[str, str]:
        """None for whoever has no key."""
        return {"Authorization": f"Bearer {self._shown[name]}"} if name in self._shown else {}

    def revoke(self, name: str) -> None:
        editing.change(self.path, lambda ring: api_keys.without(ring, self.ids[name]))

    def door(self, tickets: Tickets | None = None, **settings: Any) -> Door:
        asked: dict[str, Any] = {"api_keys_file": self.path, "api_keys_seconds": 0.0} | settings
        return Door(AccessSettings(**asked), tickets)


def guarded(door: Door, ingestion: ScriptedIngestion, settings: ApiSettings | None = None, **parts: Any) -> FastAPI:
    """Every route there is. `parts` that are not given answer nothing: whoever gets so far has been let in."""
    nothing: Any = object()
    return create_app(
        ingestion,
        settings or ApiSettings(metrics_public=False),
        door=door,
        **dict.fromkeys(("schedules", "history", "repositories", "snapshots", "bundles"), nothing) | parts,
    )
