"""`pauseflow run`: start an execution, and by default be the process that runs it."""

import logging
import sys
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

import click

from pauseflow_nb.cli.completion import complete_files
from pauseflow_nb.cli.interrupts import interrupts
from pauseflow_nb.cli.options import (
    LEFT,
    STRANDED,
    exit_code,
    flags_of,
    json_option,
    open_queue,
    print_execution,
    settings_options,
)
from pauseflow_nb.cli.papermill_options import notebook_options, papermill_options, parameter_options
from pauseflow_nb.printable import clean_logs
from pauseflow_nb.settings import Settings

if TYPE_CHECKING:
    from pauseflow_nb.cli.progress import Progress
    from pauseflow_nb.engine.queue import Plan, Queue
    from pauseflow_nb.execution import RunOptions
    from pauseflow_nb.runner.kernels.source import Supply

__all__ = ["run"]

#: Standard input or output in the place of a path.
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
    help="When variables are saved.",
)
@click.option("--strict", is_flag=True, help="Fail a step when a variable that is needed later cannot be saved.")
@click.option("--until-pause", is_flag=True, help="Return at the first pause.")
@click.option("--detach", is_flag=True, help="Let a worker run it, and return at once.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the links.  [PAUSEFLOW_PORT]")
@click.option("--public-url", help="Base of the links that people get.  [PAUSEFLOW_PUBLIC_URL]")
@json_option
@settings_options
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
    **given: Any,
) -> None:
    """Run a notebook; when it pauses, print the links and go on when it is answered.

    IN and OUT may be files, `-`, or any URL that papermill knows.
    """
    _refuse_contradictions(output, detach=detach, until_pause=until_pause, prepare_only=prepare_only, as_json=as_json)
    logging.basicConfig(level=log_level or ("ERROR" if quiet else "WARNING"), format="%(message)s")
    clean_logs()
    parameters, options = _given(notebook, output, given)
    if prepare_only:
        _prepare(notebook, str(output), parameters, options)
        return
    if detach:
        _submit(settings, notebook, output, parameters, options, as_json=as_json)
        return
    from pauseflow_nb.execution import kernel_ahead, plan

    with kernel_ahead(notebook, options) as supply:
        work = plan(notebook, None if output == _STREAM else output, parameters, options)
        queue = open_queue(settings)
        from pauseflow_nb.cli.progress import Progress

        progress = Progress(
            work.cells,
            bar=progress_bar and not log_output,
            quiet=quiet,
            log_output=log_output,
            stdout_file=stdout_file,
            stderr_file=stderr_file,
            flags=flags_of(settings),
        )
        with progress:
            code, execution = _run_attached(
                queue, work, progress, until_pause=until_pause, as_json=as_json, supply=supply
            )
    if output == _STREAM:
        _to_standard_output(queue, execution)
    sys.exit(code)


def _submit(
    settings: Settings,
    notebook: str,
    output: str | None,
    parameters: dict[str, Any],
    options: "RunOptions",
    *,
    as_json: bool,
) -> None:
    from pauseflow_nb.execution import plan, require_worker

    work = plan(notebook, output, parameters, options)
    queue = open_queue(settings)
    require_worker(queue)
    print_execution(queue.view(queue.start(work)), as_json=as_json)


def _refuse_contradictions(
    output: str | None, *, detach: bool, until_pause: bool, prepare_only: bool, as_json: bool
) -> None:
    if detach and until_pause:
        raise click.UsageError("--detach returns at once: leave --until-pause out")
    if prepare_only and output is None:
        raise click.UsageError("--prepare-only writes OUT.ipynb: name it")
    if output == _STREAM and (as_json or detach):
        raise click.UsageError("standard output takes the notebook: leave --json and --detach out")


def _given(notebook: str, output: str | None, given: dict[str, Any]) -> tuple[dict[str, Any], "RunOptions"]:
    """Take parameters and options apart."""
    from pauseflow_nb.cli.parameters import resolve_parameters
    from pauseflow_nb.execution import RunOptions

    forms = ("typed", "raw", "files", "yaml", "base64_yaml")
    both = given.pop("inject_paths")
    injected = {
        "PAPERMILL_INPUT_PATH": notebook if given.pop("inject_input_path") or both else None,
        "PAPERMILL_OUTPUT_PATH": output if given.pop("inject_output_path") or both else None,
    }
    parameters = {name: path for name, path in injected.items() if path is not None}
    parameters |= resolve_parameters(**{form: given.pop(form) for form in forms})
    if not given.pop("request_save_on_cell_execute"):
        given["autosave_cell_every"] = 0.0
    return parameters, RunOptions(**given)


def _prepare(notebook: str, output: str, parameters: dict[str, Any], options: "RunOptions") -> None:
    import nbformat

    from pauseflow_nb.execution import filled
    from pauseflow_nb.runner.notebook import prepare, write_text
    from pauseflow_nb.runner.output_file import require_writable

    notebook, output = filled(notebook, parameters), filled(output, parameters)
    require_writable(None if output == _STREAM else output)
    prepared = prepare(
        notebook,
        parameters,
        output=output,
        kernel=options.kernel,
        language=options.language,
        report_mode=options.report_mode,
    )
    write_text(output, nbformat.writes(prepared.notebook))


def _run_attached(
    queue: "Queue", work: "Plan", progress: "Progress", *, until_pause: bool, as_json: bool, supply: "Supply"
) -> tuple[int, str]:
    from pauseflow_nb.execution import attach, start_attached
    from pauseflow_nb.runner.control import Control

    control = Control()
    with interrupts(control, progress.say):
        execution = start_attached(queue, work)
        progress.say(f"execution {execution}")
        view = attach(
            queue,
            execution,
            until_pause=until_pause,
            has_links=bool(work.steps),
            control=control,
            on_event=progress.on_event,
            supply=supply,
        )
    if as_json:
        print_execution(view, as_json=True)
    if view["ended_at"] is None and not queue.has_runner(execution):
        progress.say(STRANDED)
    return exit_code(view["state"]) if not control.request or view["ended_at"] else LEFT, execution


def _to_standard_output(queue: "Queue", execution: str) -> None:
    from pauseflow_nb.runner.document import Document

    write: Callable[[bytes], object] = sys.stdout.buffer.write
    write(Document.from_bytes(queue.document(execution)).for_people())
