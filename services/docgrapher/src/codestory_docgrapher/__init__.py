"""The documentation_grapher step: documents and their sections, linked to each other and to what they describe."""
