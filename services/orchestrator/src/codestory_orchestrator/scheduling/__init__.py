"""Jobs at a time, and again and again: timers that the server keeps."""
