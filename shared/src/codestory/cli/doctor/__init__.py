"""`codestory doctor`: looks at this machine, the embedded stack and the service, starts nothing and changes nothing."""
