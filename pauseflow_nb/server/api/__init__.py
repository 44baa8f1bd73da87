"""Serve the REST API under `/pauseflow/api`, behind the login of Jupyter Server."""
