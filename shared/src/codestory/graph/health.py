"""Whether the graph answers."""

import asyncio
import time

from codestory.graph import driver
from codestory.graph.errors import GraphUnavailable
from codestory.graph.settings import GraphSettings

#: An answer is good for so long, so that a health check cannot become a load.
CACHED_SECONDS = 2.0
PATIENCE_SECONDS = 2.0


class GraphHealth:
    def __init__(self, settings: GraphSettings) -> None:
        self._answer_seconds = settings.graph_connect_timeout
        self._settings = settings.model_copy(update={"graph_connect_timeout": PATIENCE_SECONDS})
        self._driver = driver.connect(self._settings)
        self._asked_at = float("-inf")
        self._problem = ""

    async def problem(self) -> str:
        """Empty: it answers."""
        if time.monotonic() - self._asked_at > CACHED_SECONDS:
            try:
                async with asyncio.timeout(self._answer_seconds):  # the driver waits for ever on one that hangs
                    await driver.wait_ready(self._driver, self._settings, timeout=0)
                self._problem = ""
            except TimeoutError:
                self._problem = f"The graph server does not answer within {self._answer_seconds:g} s."
            except GraphUnavailable as error:
                self._problem = str(error)
            self._asked_at = time.monotonic()
        return self._problem

    async def server(self) -> str:
        """What it says it is, and which protocol it speaks. Raises GraphUnavailable."""
        with driver.reaching():
            said = await self._driver.get_server_info()
        return f"{said.agent}, Bolt {'.'.join(map(str, said.protocol_version))}"

    async def close(self) -> None:
        await self._driver.close()
