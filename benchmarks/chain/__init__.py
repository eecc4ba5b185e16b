"""A chain of four steps that do nothing, run by our pipeline and by a peer; for the benchmarks beside this folder."""
