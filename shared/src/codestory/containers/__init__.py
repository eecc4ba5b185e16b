"""The service in containers, seen from the host: where they are, what they see, and how they come to see more."""
