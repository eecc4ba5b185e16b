"""Repositories that travel: packed where they are, kept in the object store, unpacked where a step runs."""
