"""Repositories that lie at a git address: fetched once, and from then on a snapshot like an uploaded one."""
