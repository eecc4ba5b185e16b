"""The verbs as NATS micro services, for operators: `nats req codestory.api.start '{"repository": "…"}'`.

They answer what the REST API answers, and refuse what it refuses."""

from codestory_orchestrator.operators.services import Operators

__all__ = ["Operators"]
