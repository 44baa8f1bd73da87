"""*Create notebook job* of JupyterLab, with pauses: an execution manager for jupyter-scheduler.

    jupyter lab --Scheduler.execution_manager_class=pauseflow_nb.compat.scheduler.PauseflowExecutionManager

The job is in progress while its notebook waits. Its process only looks on: if it ends, with the server
perhaps, any worker goes on with the execution, and `pauseflow list` has it.
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

_LOOK_SECONDS = 1.0


class PauseflowExecutionManager(DefaultExecutionManager):  # type: ignore[misc]
    """Runs a job's notebook as an execution."""

    def execute(self) -> None:
        """Run the notebook to its end, however long it waits.

        Raises:
            RuntimeError: If it failed or was cancelled; jupyter-scheduler shows the sentence.
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
            told = execution.to_dict()
            error, reason = told["error"] or {}, told["reason"] or {}
            text = error.get("message") or reason.get("text") or reason.get("kind")
            raise RuntimeError(f"{told['state']}: {text} (`pauseflow show {execution.id}`)")

    def _follow(self, execution: Execution) -> None:
        """Wait for the end, and let the list of jobs say what it waits for meanwhile."""
        said = ""
        while True:
            with suppress(TimeoutError):
                execution.wait(_LOOK_SECONDS)
            waits = [suspension["step"] or "the notebook" for suspension in execution.suspended]
            text = f"waits in {', '.join(waits)}: `pauseflow show {execution.id}`" if waits else ""
            if text != said:
                self._say(text)
                said = text
            if execution.state in FINAL_STATES:
                return

    def _say(self, text: str) -> None:
        with self.db_session() as session:
            session.query(Job).filter(Job.job_id == self.job_id).update({"status_message": text})
            session.commit()
