"""Start executions by requests to signed URLs, and by schedules."""
