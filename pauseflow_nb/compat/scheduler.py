"""Run notebook jobs of JupyterLab with pauses: an execution manager for jupyter-scheduler.

    jupyter lab --Scheduler.execution_manager_class=pauseflow_nb.compat.scheduler.PauseflowExecutionManager

The job is in progress while its notebook waits. Its process only watches the execution: if that process ends, for example with
the server, workers continue with the execution, and `pauseflow list` shows it.
"""

import tempfile
from contextlib import suppress
from pathlib import Path

import nbformat
from jupyter_scheduler.executors import DefaultExecutionManager
from jupyter_scheduler.orm import Job

from pauseflow_nb.execution import FINAL_STATES, Execution, run_notebook
from pauseflow_nb.launching import RunOptions

__all__ = ["PauseflowExecutionManager"]

_POLL_SECONDS = 1.0


class PauseflowExecutionManager(DefaultExecutionManager):  # type: ignore[misc]
    """Runs the notebook of a job as an execution."""

    def execute(self) -> None:
        """Run the notebook until it ends, however long it waits.

        Raises:
            RuntimeError: If it failed or was cancelled; jupyter-scheduler shows the message.
        """
        job, source = self.model, Path(self.staging_paths["input"])
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder, "output.ipynb")
            options = RunOptions(cwd=str(source.parent))
            execution = run_notebook(source, output, job.parameters or {}, wait=False, options=options)
            try:
                self._follow(execution)
            finally:
                self.add_side_effects_files(str(source.parent))
                if output.exists():
                    self.create_output_files(job, nbformat.read(output, as_version=4))
        if execution.state != "completed":
            view = execution.to_dict()
            error, reason = view["error"] or {}, view["reason"] or {}
            text = error.get("message") or reason.get("text") or reason.get("kind")
            raise RuntimeError(f"{view['state']}: {text} (`pauseflow show {execution.id}`)")

    def _follow(self, execution: Execution) -> None:
        """Wait for the end; meanwhile the list of jobs shows what the execution waits for."""
        shown = ""
        while True:
            with suppress(TimeoutError):
                execution.wait(_POLL_SECONDS)
            waits = [suspension["step"] or "the notebook" for suspension in execution.suspended]
            text = f"waits in {', '.join(waits)}: `pauseflow show {execution.id}`" if waits else ""
            if text != shown:
                self._set_status_message(text)
                shown = text
            if execution.state in FINAL_STATES:
                return

    def _set_status_message(self, text: str) -> None:
        with self.db_session() as session:
            session.query(Job).filter(Job.job_id == self.job_id).update({"status_message": text})
            session.commit()
