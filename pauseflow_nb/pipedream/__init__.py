"""Make notebooks of Pipedream workflows: `pauseflow import`."""
