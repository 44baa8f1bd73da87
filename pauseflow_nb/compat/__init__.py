"""Integrate with other programs: papermill, Prefect and jupyter-scheduler."""
