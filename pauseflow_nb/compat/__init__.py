"""Offer what other programs and their users expect: papermill, Prefect, jupyter-scheduler."""
