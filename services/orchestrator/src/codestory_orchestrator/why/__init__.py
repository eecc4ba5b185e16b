"""Why a job does not go on: facts gathered, and told in words and as data."""
