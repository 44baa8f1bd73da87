"""Write the user's output; a failure, such as a full disk, must not cost a finished step."""

import logging
from collections.abc import Callable
from typing import Any

from pauseflow_nb.engine.progress_events import Event, Events, ignore
from pauseflow_nb.errors import InvalidOutput, PauseflowError
from pauseflow_nb.runner import file_addresses
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.output_file import OutputFile
from pauseflow_nb.store.executions import Row

log = logging.getLogger(__name__)


def open_output(execution: Row, segment: Row, on_event: Events, *, check: Callable[[], None]) -> "PatientOutput | None":
    """Make the output of one attempt; None if the user requested none.

    Args:
        execution: The execution.
        segment: Its segment, as the attempt claimed it.
        on_event: Called with events about the output.
        check: Called before each write; raises if another attempt writes the output now.
    """
    if execution.output is None:
        return None
    kind = RemoteOutput if "://" in execution.output else PatientOutput
    output = kind(execution.output, on_event=on_event, execution=execution.id, is_first=is_first(segment))
    output.check = check
    return output


def is_first(segment: Row) -> bool:
    """Whether this attempt writes the output for the first time."""
    return bool(segment.n == 0 and segment.attempt == 1)


def finish_output(execution: Row, document: Document) -> PauseflowError | None:
    """Write the notebook of an execution that has ended; log and return the reason if that fails."""
    return _write_once(execution, document, is_first=False)


def start_output(execution: Row, document: Document) -> PauseflowError | None:
    """Write the notebook of an execution without a kernel yet, over an existing file; return why that failed."""
    return _write_once(execution, document, is_first=True)


def _write_once(execution: Row, document: Document, *, is_first: bool) -> PauseflowError | None:
    # As a segment does when it begins: record which execution the file belongs to, or a retry takes it for an edit.
    document.metadata["pauseflow"] = {**document.metadata.get("pauseflow", {}), "execution": execution.id}
    document.changed()
    kind = RemoteOutput if "://" in execution.output else PatientOutput
    output = kind(execution.output, on_event=ignore, execution=execution.id, is_first=is_first)
    output.save(document)
    return output.problem


def read_output(execution: Row) -> Document | None:
    """Read the output if it is a file that was written for this execution and not changed since."""
    if execution.output is None or "://" in execution.output:
        return None
    data = OutputFile(execution.output, execution=execution.id, is_first=False).read()
    return None if data is None else Document.from_people(data)


class PatientOutput(OutputFile):
    """Continues when the file cannot be written, remembers why, and tries again later."""

    #: Why the last write failed; None if it succeeded.
    problem: PauseflowError | None = None

    def __init__(self, path: str, *, on_event: Events, execution: str, is_first: bool) -> None:
        """Take the path; other arguments as `OutputFile`."""
        self._on_event, self._execution_id = on_event, execution
        super().__init__(path, execution=execution, is_first=is_first, on_moved=self._moved)

    def save(self, document: Document) -> None:
        """Write the notebook; on failure report it once and continue."""
        try:
            self._save(document)
        except PauseflowError as problem:
            self._failed(problem)
        except OSError as problem:
            why = f"{problem.strerror or problem}: check the folder and its permissions, then `pauseflow retry`"
            self._failed(InvalidOutput(self._where(), f"cannot be written: {why}"))
        else:
            self.problem = None

    def retry_save(self, document: Document) -> None:
        """Try the failed write again."""
        if self.problem is not None:
            self.save(document)

    def _save(self, document: Document) -> None:
        super().save(document)

    def _where(self) -> str:
        return str(self.path)

    def _failed(self, problem: PauseflowError) -> None:
        if self.problem is None:
            is_named = isinstance(problem, InvalidOutput)
            self._report(str(problem) if is_named else f"the output was not written: {problem}")
        self.problem = problem

    def _moved(self, path: str) -> None:
        self._report(f"the output was changed by another program; this execution now writes to {path}")

    def _report(self, text: str) -> None:
        # The observer of the run gets the event, and would report it twice.
        level = logging.WARNING if self._on_event is ignore else logging.INFO
        log.log(level, "%s", text, extra={"execution": self._execution_id})
        data: dict[str, Any] = {"text": text}
        self._on_event(Event("said", self._execution_id, data))


class RemoteOutput(PatientOutput):
    """An output at a URL that papermill can write to, at checkpoints and pauses, not while a cell runs."""

    def __init__(self, path: str, *, on_event: Events, execution: str, is_first: bool) -> None:
        """Take the URL."""
        self._url = path
        self._saved = -1
        super().__init__(path, on_event=on_event, execution=execution, is_first=is_first)

    def save_when_due(self, document: Document) -> float | None:  # noqa: ARG002
        """Write nothing: one request a second while cells run would be too many."""
        return None

    def _save(self, document: Document) -> None:
        if self._saved == document.revision:
            return
        self.check()
        revision, text = document.revision, document.for_people().decode()
        try:
            file_addresses.write(text, self._url)
        except Exception as problem:
            # Each of papermill's handlers raises the errors of its client.
            why = f"cannot be written: {problem}: check the address and your credentials"
            raise InvalidOutput(self._url, why) from problem
        self._saved = revision

    def _where(self) -> str:
        return self._url
