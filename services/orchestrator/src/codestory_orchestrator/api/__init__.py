"""The REST API: HTTP and WebSocket in, a call of `Ingestion`, JSON out. Knows contracts, and nothing of the bus."""

from codestory_orchestrator.api.app import create_app
from codestory_orchestrator.api.ingestion import Ingestion
from codestory_orchestrator.api.settings import LOOPBACK_HOSTS, ApiSettings

__all__ = ["LOOPBACK_HOSTS", "ApiSettings", "Ingestion", "create_app"]
