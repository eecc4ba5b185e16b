"""The orchestrator: starts jobs, sends the step commands in order, follows their events, answers the REST API."""
