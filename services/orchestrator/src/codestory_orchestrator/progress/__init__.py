"""How far a job is, and how long it will take."""
