"""Show the progress of an attached run: a bar on a terminal, lines elsewhere, and nothing with `--quiet`."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, Self

import click

from pauseflow_nb.cli.terminal import (
    describe_ending,
    describe_kernel_bound,
    describe_notes,
    describe_unsaved,
    describe_waiting,
)
from pauseflow_nb.printable import printable, printable_lines

if TYPE_CHECKING:
    from pauseflow_nb.engine.progress_events import Event


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
        """Show progress over `total` cells; the files also get the output of the cells.

        `flags` are those of the store: commands that are advised repeat them.
        """
        self._flags = flags
        self._quiet, self._log_output = quiet, log_output
        self._files = {"stdout": stdout_file, "stderr": stderr_file}
        self._error: tuple[int, Any] | None = None
        self._noted: set[str] = set()
        self._bar: Any = None
        if bar and not quiet and sys.stderr.isatty():
            from tqdm import tqdm  # only a terminal needs it

            self._bar = tqdm(total=total, unit="cell", desc="starting", dynamic_ncols=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def print_line(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        if self._quiet:
            return
        self._print(printable_lines(text))

    def _print(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            self._echo(f"{text}\n")

    def _echo(self, text: str) -> None:
        # The execution continues where nobody reads its progress any more: behind `head -1`, or on a full disk.
        with suppress(OSError):
            click.echo(text, nl=False, err=True)

    def on_event(self, event: "Event") -> None:
        """Show an event."""
        data = event.data
        match event.kind:
            case "cell":
                self._update_bar(data["done"])
            case "step":
                self._show_step(data["step"], data["run"])
            case "output":
                self._show_output(data["cell"], data["output"])
            case "said":
                self._print_once(data["text"])
            case "suspended":
                self._show_notes(data["view"])
                for suspension in data["view"]["suspended"]:
                    self.print_line(describe_waiting(suspension))
                for line in (*_describe_all_unsaved(data["view"]), *describe_kernel_bound(data["view"], is_here=True)):
                    self.print_line(f"  {line}")
                self._describe("waits in " + ", ".join(each["step"] or "-" for each in data["view"]["suspended"]))
            case "queued":
                self.print_line("continuing")
            case "ended":
                self._show_notes(data["view"])
                self._show_end(data["view"])

    def _update_bar(self, cells: int) -> None:
        if self._bar is not None:
            self._bar.n = cells
            self._bar.refresh()

    def _describe(self, text: str) -> None:
        if self._bar is not None:
            self._bar.set_description(printable(text))

    def _show_step(self, step: str, run: int) -> None:
        text = step if run == 1 else f"{step} (run {run})"
        self._describe(text)
        if self._bar is None:
            self.print_line(f"step {text}")

    def _show_output(self, cell: int, output: Any) -> None:
        if output.output_type == "stream":
            self._write_to_file(output.name, output.text)
        elif output.output_type == "error":
            self._error = cell, output
        if not self._log_output:
            return
        if output.output_type == "stream":
            self._echo(_clean_cell_text(output.text))
        elif output.output_type == "error":
            self._echo(_clean_cell_text("\n".join(output.traceback)) + "\n")
        elif text := output.get("data", {}).get("text/plain"):
            self._echo(_clean_cell_text(text) + "\n")

    def _show_notes(self, view: Mapping[str, Any]) -> None:
        """Show what the kernel noted about steps, each sentence once."""
        lines = [f"⚠ {name}: {note}" for name, step in view.get("steps", {}).items() for note in describe_notes(step)]
        for line in lines:
            self._print_once(line)

    def _print_once(self, line: str) -> None:
        if line not in self._noted:
            self._noted.add(line)
            self.print_line(line)

    def _write_to_file(self, name: str, text: str) -> None:
        file = self._files.get(name)
        if file is not None:
            from pauseflow_nb.runner.masking import Mask  # everybody who can read the file could use links in it

            file.write(Mask().text(text))
            file.flush()

    def _show_traceback(self, traceback: list[str]) -> None:
        if not self._quiet:
            text = _clean_cell_text("\n".join(traceback))
            has_rule = click.unstyle(text).startswith("-----")  # IPython's own, above most tracebacks
            self._print(text if has_rule else f"{'-' * 75}\n{text}")

    def _show_end(self, view: Mapping[str, Any]) -> None:
        error = view["error"]
        if error and self._error is not None and self._error[0] == error["cell"] and not self._log_output:
            # As papermill prints it, so that a log has the traceback.
            self._show_traceback(self._error[1].traceback)
        if self._quiet and error:
            # Quiet is about progress, and not about what went wrong.
            self._print(describe_ending(view, flags=self._flags))
        self.print_line(describe_ending(view, flags=self._flags))


def _clean_cell_text(text: str) -> str:
    """Remove control sequences from a text of a cell; colours stay on a terminal."""
    return printable_lines(text, colours="kept" if sys.stderr.isatty() else "dropped")


def _describe_all_unsaved(view: Mapping[str, Any]) -> list[str]:
    """Describe the variables that were not saved by the steps in which an execution waits."""
    waiting = {each["step"] for each in view["suspended"]}
    return [line for name, step in view.get("steps", {}).items() if name in waiting for line in describe_unsaved(step)]
