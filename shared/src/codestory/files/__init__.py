"""The files of a repository: which of them count, and how they are read without ever leaving it. Knows no step."""
