"""Serve links, the approval page and the REST API over HTTP."""
