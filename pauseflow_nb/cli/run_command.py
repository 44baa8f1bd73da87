"""Define `pauseflow run`, which starts an execution and by default runs it in this process."""

import logging
import os
import shlex
import sys
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

import click

from pauseflow_nb.cli.completion import complete_files
from pauseflow_nb.cli.options import (
    LEFT,
    WholeNumberBetween,
    exit_code,
    format_flags,
    open_queue,
    print_execution,
    print_lines,
    store_options,
)
from pauseflow_nb.cli.papermill_options import notebook_options, papermill_options, parameter_options
from pauseflow_nb.printable import clean_logs
from pauseflow_nb.settings import Settings

if TYPE_CHECKING:
    from pauseflow_nb.engine.plan import Plan
    from pauseflow_nb.engine.queue import Queue
    from pauseflow_nb.launching import RunOptions

#: Path that stands for standard input or standard output.
_STREAM = "-"


@click.command()
@click.argument("notebook", metavar="IN.ipynb", shell_complete=complete_files)
@click.argument("output", metavar="[OUT.ipynb]", required=False, shell_complete=complete_files)
@parameter_options
@notebook_options
@papermill_options
@click.option(
    "--checkpoint",
    type=click.Choice(["step", "pause"]),
    default="step",
    show_default=True,
    help="Save the variables after each step, or only at pauses.",
)
@click.option("--strict", is_flag=True, help="Fail a step if a variable that later cells need cannot be saved.")
@click.option("--until-pause", is_flag=True, help="Return at the first pause.")
@click.option("--detach", is_flag=True, help="Queue the execution for a worker, and return at once.")
@click.option("-q", "--quiet", is_flag=True, help="Print only errors.")
@click.option("--port", type=WholeNumberBetween(0, 65535), help="Port that serves the links.  [PAUSEFLOW_PORT]")
@click.option("--public-url", help="Base URL of the links.  [PAUSEFLOW_PUBLIC_URL]")
@store_options
def run(
    settings: Settings,
    *,
    notebook: str,
    output: str | None,
    prepare_only: bool,
    until_pause: bool,
    detach: bool,
    progress_bar: bool,
    log_output: bool,
    stdout_file: IO[str] | None,
    stderr_file: IO[str] | None,
    log_level: str | None,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Run a notebook; when it pauses, print the links, and continue after the answer.

    IN and OUT may be files, `-`, or any URL that papermill supports.
    """
    _check_options(output, detach=detach, until_pause=until_pause, prepare_only=prepare_only, as_json=as_json)
    logging.basicConfig(level=log_level or ("ERROR" if quiet else "WARNING"), format="%(message)s")
    clean_logs()
    parameters, run_options = _split_options(notebook, output, options)
    if prepare_only:
        _prepare(notebook, str(output), parameters, run_options)
        return
    if detach:
        _submit(settings, notebook, output, parameters, run_options, as_json=as_json)
        return
    from pauseflow_nb.launching import plan, start_kernel_early

    with start_kernel_early(notebook, run_options) as supply:
        work = plan(notebook, None if output == _STREAM else output, parameters, run_options)
        queue = open_queue(settings, creates=True)
        if not quiet:
            _name_shared_file(work)
        from pauseflow_nb.cli.attached_run import run_with_progress
        from pauseflow_nb.cli.progress import Progress

        progress = Progress(
            work.cells,
            bar=progress_bar and not log_output,
            quiet=quiet,
            log_output=log_output,
            stdout_file=stdout_file,
            stderr_file=stderr_file,
            flags=format_flags(settings),
        )
        with progress:
            view, is_stopped = run_with_progress(
                queue, work, progress, progress.on_event, supply=supply, until_pause=until_pause
            )
    if as_json:
        print_execution(view, as_json=True)
    elif output is None and not quiet:
        command = f"pauseflow outputs {view['id']} -o OUT.ipynb{format_flags(settings)}"
        print_lines(f"  `{command}` writes the executed notebook", err=True)
    if output == _STREAM:
        _write_to_standard_output(queue, view["id"])
    sys.exit(LEFT if is_stopped else exit_code(view["state"]))


def _submit(
    settings: Settings,
    notebook: str,
    output: str | None,
    parameters: dict[str, Any],
    options: "RunOptions",
    *,
    as_json: bool,
) -> None:
    from pauseflow_nb.launching import plan, require_worker

    work = plan(notebook, output, parameters, options)
    queue = open_queue(settings, creates=True)
    require_worker(queue, serves=work.queues.find(0))
    _name_shared_file(work)
    print_execution(queue.view(queue.start(work)), as_json=as_json)


def _name_shared_file(work: "Plan") -> None:
    """Say that the notebook is its own output, which papermill permits, too: its outputs so far are lost."""
    # Either may be a URL, and the notebook standard input.
    are_files = work.output is not None and os.path.exists(work.notebook) and os.path.exists(work.output)  # noqa: PTH110
    if are_files and os.path.samefile(work.notebook, str(work.output)):  # noqa: PTH121
        print_lines(f"{work.notebook} is IN and OUT: its outputs are replaced", err=True)


def _check_options(output: str | None, *, detach: bool, until_pause: bool, prepare_only: bool, as_json: bool) -> None:
    name, is_pair, value = (output or "").partition("=")
    if is_pair and name.isidentifier() and not value.endswith(".ipynb"):
        raise click.UsageError(
            f"{output!r} stands where OUT.ipynb does: write a parameter as -p {name} {shlex.quote(value or 'VALUE')}"
        )
    if detach and until_pause:
        raise click.UsageError("--detach returns at once: omit --until-pause")
    if prepare_only and output is None:
        raise click.UsageError("--prepare-only writes OUT.ipynb: pass its path")
    if output == _STREAM and (as_json or detach):
        raise click.UsageError("the notebook is written to standard output: omit --json and --detach")


def _split_options(notebook: str, output: str | None, options: dict[str, Any]) -> tuple[dict[str, Any], "RunOptions"]:
    """Separate the parameters from the options of the command."""
    from pauseflow_nb.cli.parameter_flags import resolve_parameters
    from pauseflow_nb.launching import RunOptions

    forms = ("typed", "raw", "files", "yaml", "base64_yaml")
    both = options.pop("inject_paths")
    injected = {
        "PAPERMILL_INPUT_PATH": notebook if options.pop("inject_input_path") or both else None,
        "PAPERMILL_OUTPUT_PATH": output if options.pop("inject_output_path") or both else None,
    }
    parameters = {name: path for name, path in injected.items() if path is not None}
    parameters |= resolve_parameters(**{form: options.pop(form) for form in forms})
    if not options.pop("request_save_on_cell_execute"):
        options["autosave_cell_every"] = 0.0
    return parameters, RunOptions(**options)


def _prepare(notebook: str, output: str, parameters: dict[str, Any], options: "RunOptions") -> None:
    import nbformat

    from pauseflow_nb.launching import fill_path
    from pauseflow_nb.runner.notebook import prepare
    from pauseflow_nb.runner.output_file import require_writable, write_whole

    notebook, output = fill_path(notebook, parameters), fill_path(output, parameters)
    require_writable(None if output == _STREAM else output)
    prepared = prepare(
        notebook,
        parameters,
        output=output,
        kernel=options.kernel,
        language=options.language,
        report_mode=options.report_mode,
    )
    write_whole(output, nbformat.writes(prepared.notebook))


def _write_to_standard_output(queue: "Queue", execution: str) -> None:
    from pauseflow_nb.runner.document import Document

    write: Callable[[bytes], object] = sys.stdout.buffer.write
    write(Document.from_bytes(queue.document(execution)).for_people())
