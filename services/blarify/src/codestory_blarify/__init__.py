"""The blarify step: classes, functions and methods of a repository, and what they do to each other."""
