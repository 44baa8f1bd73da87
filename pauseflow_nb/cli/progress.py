"""How an attached run is shown while it goes: a bar on a terminal, plain lines elsewhere, nothing when quiet."""

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

import click

from pauseflow_nb.cli.terminal import describe_bound, describe_ending, describe_unsaved, describe_waiting
from pauseflow_nb.printable import printable, printable_lines

if TYPE_CHECKING:
    from pauseflow_nb.engine.progress_events import Event

__all__ = ["Progress"]


class Progress:
    """Shows the events of one execution on standard error."""

    def __init__(
        self,
        total: int,
        *,
        bar: bool,
        quiet: bool = False,
        log_output: bool = False,
        stdout_file: IO[str] | None = None,
        stderr_file: IO[str] | None = None,
        flags: str = "",
    ) -> None:
        """Show progress over `total` cells; what cells print goes into the files, too.

        Commands that are advised need these flags, to mean the same store.
        """
        self._flags = flags
        self._quiet, self._log_output = quiet, log_output
        self._files = {"stdout": stdout_file, "stderr": stderr_file}
        self._error: tuple[int, Any] | None = None
        self._bar: Any = None
        if bar and not quiet and sys.stderr.isatty():
            from tqdm import tqdm  # only a terminal pays for it

            self._bar = tqdm(total=total, unit="cell", desc="starting", dynamic_ncols=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def say(self, text: str) -> None:
        """Print a line for the person, above the bar if there is one."""
        if self._quiet:
            return
        self._print(printable_lines(text))

    def _print(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            click.echo(text, err=True)

    def on_event(self, event: "Event") -> None:
        """Show an event."""
        data = event.data
        match event.kind:
            case "cell":
                self._passed(data["done"])
            case "step":
                self._step(data["step"], data["run"])
            case "output":
                self._output(data["cell"], data["output"])
            case "said":
                self.say(data["text"])
            case "suspended":
                for suspension in data["view"]["suspended"]:
                    self.say(describe_waiting(suspension))
                for line in (*_unsaved_in(data["view"]), *describe_bound(data["view"], is_here=True)):
                    self.say(f"  {line}")
                self._describe("waits in " + ", ".join(each["step"] or "-" for each in data["view"]["suspended"]))
            case "queued":
                self.say("going on")
            case "ended":
                self._ended(data["view"])

    def _passed(self, cells: int) -> None:
        if self._bar is not None:
            self._bar.n = cells
            self._bar.refresh()

    def _describe(self, text: str) -> None:
        if self._bar is not None:
            self._bar.set_description(printable(text))

    def _step(self, step: str, run: int) -> None:
        text = step if run == 1 else f"{step} (run {run})"
        self._describe(text)
        if self._bar is None:
            self.say(f"step {text}")

    def _output(self, cell: int, output: Any) -> None:
        if output.output_type == "stream":
            self._keep(output.name, output.text)
        elif output.output_type == "error":
            self._error = cell, output
        if not self._log_output:
            return
        if output.output_type == "stream":
            click.echo(_of_a_cell(output.text), nl=False, err=True)
        elif output.output_type == "error":
            click.echo(_of_a_cell("\n".join(output.traceback)), err=True)
        elif text := output.get("data", {}).get("text/plain"):
            click.echo(_of_a_cell(text), err=True)

    def _keep(self, name: str, text: str) -> None:
        file = self._files.get(name)
        if file is not None:
            from pauseflow_nb.runner.masking import Mask  # a file stays: links in it would act for whoever reads it

            file.write(Mask().text(text))
            file.flush()

    def _show_traceback(self, traceback: list[str]) -> None:
        if not self._quiet:
            self._print("\n".join(["-" * 75, _of_a_cell("\n".join(traceback))]))

    def _ended(self, view: Mapping[str, Any]) -> None:
        error = view["error"]
        if error and self._error is not None and self._error[0] == error["cell"] and not self._log_output:
            # As papermill prints it, so that a log has the traceback.
            self._show_traceback(self._error[1].traceback)
        if self._quiet and error:
            # Quiet is about progress, and not about what went wrong.
            self._print(describe_ending(view, flags=self._flags))
        self.say(describe_ending(view, flags=self._flags))


def _of_a_cell(text: str) -> str:
    """What a cell shows, or its traceback: with colours on a terminal, and nothing else that a terminal acts on."""
    return printable_lines(text, colours="kept" if sys.stderr.isatty() else "dropped")


def _unsaved_in(view: Mapping[str, Any]) -> list[str]:
    """Name what was not saved by the steps that an execution waits in."""
    waiting = {each["step"] for each in view["suspended"]}
    return [line for name, step in view.get("steps", {}).items() if name in waiting for line in describe_unsaved(step)]
