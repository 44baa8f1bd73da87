"""Provide the engine for `papermill IN OUT --engine pauseflow`, which runs a notebook as an execution.

Papermill imports every engine when it is imported itself, so this module imports nothing before an execution begins.
"""

import logging
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from pauseflow_nb.cli.progress import Progress
    from pauseflow_nb.engine.plan import Plan
    from pauseflow_nb.engine.progress_events import Event
    from pauseflow_nb.engine.queue import Queue
    from pauseflow_nb.launching import RunOptions
    from pauseflow_nb.runner.kernels.source import Supply

__all__ = ["PauseflowEngine", "Unfinished"]


class Unfinished(SystemExit, Exception):
    """The notebook neither completed nor failed: it was cancelled, or left to the workers.

    A program that calls papermill can catch this; on the command line, papermill ends with our exit code.
    """


class PauseflowEngine:
    """The engine. A run may take days, because steps can pause."""

    @classmethod
    def nb_kernel_name(cls, nb: "NotebookNode", name: str | None = None) -> str:
        """Return the name of the kernel; the default is Python."""
        from pauseflow_nb.runner.notebook_file import find_kernel_name

        return name or find_kernel_name(nb)

    @classmethod
    def nb_language(cls, nb: "NotebookNode", language: str | None = None) -> str:
        """Return the language in which parameters are written."""
        metadata = nb.metadata
        found = metadata.get("language_info", {}).get("name") or metadata.get("kernelspec", {}).get("language")
        return str(language or found or "python")

    @classmethod
    def execute_notebook(
        cls,
        nb: "NotebookNode",
        kernel_name: str,
        output_path: str | None = None,
        *,
        progress_bar: bool | dict[str, Any] = True,
        log_output: bool = False,
        autosave_cell_every: float = 30,
        input_path: str = "",
        start_timeout: float = 60,
        execution_timeout: float | None = None,
        stdout_file: IO[str] | None = None,
        stderr_file: IO[str] | None = None,
        **options: Any,
    ) -> "NotebookNode":
        """Run a notebook that papermill has read and injected parameters into.

        Args:
            nb: The notebook, which is not modified.
            kernel_name: Its kernel.
            output_path: Path of the executed notebook, which is written while it runs.
            progress_bar: Whether to show one.
            log_output: Whether to print what cells print.
            autosave_cell_every: 0: do not write while a cell runs.
            input_path: Path that it was read from.
            start_timeout: Seconds that the kernel may take to start.
            execution_timeout: Seconds that a cell may take.
            stdout_file: File that also gets the standard output of the cells.
            stderr_file: File that also gets the standard error of the cells.
            options: `strict` and `checkpoint`, as for `pauseflow run`; others are ignored, as papermill's own engine
                ignores unknown options.

        Returns:
            The executed notebook. If a cell raised, papermill finds the error there and reports it.

        Raises:
            nbclient.exceptions.DeadKernelError: If its kernel died three times in a row.
            papermill.exceptions.PapermillExecutionError: If it failed, and no cell shows an error.
            Unfinished: If it was cancelled, or left to the workers.
        """
        from pauseflow_nb.launching import RunOptions, start_kernel_early

        chosen = RunOptions(
            kernel=kernel_name,
            start_timeout=start_timeout,
            execution_timeout=execution_timeout,
            autosave_cell_every=0.0 if autosave_cell_every == 0 else None,
            strict=bool(options.get("strict", False)),
            checkpoint=str(options.get("checkpoint", "step")),
        )
        with start_kernel_early(input_path, chosen) as supply:
            from pauseflow_nb.cli.progress import Progress

            progress = Progress(
                len(nb.cells),
                bar=bool(progress_bar),
                log_output=log_output,
                stdout_file=stdout_file,
                stderr_file=stderr_file,
            )
            with progress:
                view, executed = _run_notebook(nb, input_path, output_path, chosen, progress=progress, supply=supply)
        _raise_error(view, executed)
        return executed


def _run_notebook(
    nb: "NotebookNode",
    source: str,
    output: str | None,
    options: "RunOptions",
    *,
    progress: "Progress",
    supply: "Supply",
) -> tuple[dict[str, Any], "NotebookNode"]:
    """Run the notebook; returns the execution, as `Queue.view` shows it, and the executed notebook."""
    from pauseflow_nb.engine.queue import Queue
    from pauseflow_nb.launching import make_plan
    from pauseflow_nb.runner.notebook import adopt
    from pauseflow_nb.settings import Settings

    # Papermill logs at INFO, where Alembic would log each migration.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    frozen = adopt(nb, source, kernel=str(options.kernel))
    beside = None if "://" in source or source == "-" else _resolve_path(source).parent
    queue = Queue.open(Settings.load(beside=beside))
    view = _run(queue, make_plan(frozen, source, _resolve_output(output), options), progress, supply)
    return view, _read_document(queue, view["id"])


def _run(queue: "Queue", plan: "Plan", progress: "Progress", supply: "Supply") -> dict[str, Any]:
    from pauseflow_nb.cli.attached_run import run_with_progress
    from pauseflow_nb.cli.options import LEFT

    def on_event(event: "Event") -> None:
        # Papermill itself reports the result.
        if event.kind != "ended":
            progress.on_event(event)

    view, _ = run_with_progress(queue, plan, progress, on_event, supply=supply)
    if view["ended_at"] is None:
        raise Unfinished(LEFT)
    return view


def _raise_error(view: dict[str, Any], executed: "NotebookNode") -> None:
    if view["state"] == "cancelled":
        from pauseflow_nb.cli.options import CANCELLED

        raise Unfinished(CANCELLED)
    error = view["error"]
    if view["state"] == "completed" or error is None:
        return
    if error["type"] == "KernelDied":
        from nbclient.exceptions import DeadKernelError

        raise DeadKernelError(error["message"])
    if any(output.output_type == "error" for cell in executed.cells for output in cell.get("outputs", [])):
        return
    from papermill.exceptions import PapermillExecutionError

    index = error["cell"] or 0
    cell = executed.cells[index] if executed.cells else {}
    raise PapermillExecutionError(
        cell_index=index,
        exec_count=cell.get("execution_count"),
        source=cell.get("source", ""),
        ename=error["type"],
        evalue=error["message"],
        traceback=[],
    )


def _read_document(queue: "Queue", execution: str) -> "NotebookNode":
    from pauseflow_nb.runner.document import Document

    return Document.from_bytes(queue.document(execution)).notebook


def _resolve_output(output: str | None) -> str | None:
    return output if output is None or "://" in output else str(_resolve_path(output))


def _resolve_path(path: str) -> Path:
    """Make a path absolute, relative to the directory that papermill uses, which `--cwd` may have changed."""
    from papermill.iorw import papermill_io

    local = papermill_io.get_handler("local")
    folder = local.cwd(None)
    local.cwd(folder)
    return Path(folder or ".", path).absolute()
