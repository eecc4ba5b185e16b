"""The filesystem step: what lies where in a repository, as Directory and File nodes. Knows steps; knows no bus."""
