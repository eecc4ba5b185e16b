"""What is said between the parts: messages, jobs and their states, the API's models. Knows pydantic alone."""
