"""One run of the step in a process of its own, which a test may kill: what it is given comes as JSON, its argument."""

import asyncio
import json
import logging
import sys
from pathlib import Path

from codestory.contracts.jobs import Repository
from codestory.files.repository import RepositoryFiles
from codestory.graph import Fence, GraphSettings, GraphWriter, connect
from codestory.steps import StepContext
from codestory_summarizer.step import Options, SummarizerStep


async def main() -> None:
    given = json.loads(sys.argv[1])
    settings = GraphSettings.model_validate(given["settings"])
    with RepositoryFiles(Path(given["root"])) as files:
        async with connect(settings) as driver:
            writer = GraphWriter(
                driver,
                settings,
                repository=given["repository"],
                owner="summarizer",
                fence=Fence(*given["fence"]),
                labels=("Summary",),
            )
            context = StepContext(
                job="job",
                attempt=1,
                repository=Repository(id=given["repository"], name="example", path=given["root"]),
                options=Options.model_validate(given["options"]),
                files=files,
                graph=writer,
                log=logging.getLogger("test"),
                report=lambda _: None,
            )
            await SummarizerStep().execute(context)


asyncio.run(main())
