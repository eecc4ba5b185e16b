"""What every part of Code Story's ingestion shares. A room a folder; see docs/index.md for the way through."""
