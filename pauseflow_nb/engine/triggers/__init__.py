"""Start executions: from a request to a signed URL, or when the time of a schedule has come."""
