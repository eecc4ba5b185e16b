"""The summarizer step: what every symbol, file and directory does, in plain English."""
