"""The line_counter step: the lines of each language of a repository, as nodes beside the files they were counted in."""
