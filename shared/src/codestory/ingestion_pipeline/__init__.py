"""The small synchronous way in, for scripts: see `manager`."""

from codestory.ingestion_pipeline.manager import PipelineManager

__all__ = ["PipelineManager"]
