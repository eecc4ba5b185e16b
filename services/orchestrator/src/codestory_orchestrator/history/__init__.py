"""What has happened to jobs and what their steps have written: read from the streams, page by page or as it comes."""
