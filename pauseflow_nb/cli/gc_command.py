"""Define `pauseflow gc`, which removes old executions and unused files."""

import click

from pauseflow_nb.cli.options import open_queue, print_json, say, store_options
from pauseflow_nb.settings import Settings


@click.command()
@click.option(
    "--older-than",
    metavar="SPAN",
    default="30d",
    show_default=True,
    help="Minimum time since an execution ended, such as 12h or 7d.",
)
@click.option("--dry-run", is_flag=True, help="List the executions that would be removed, and remove nothing.")
@store_options
def gc(settings: Settings, *, older_than: str, dry_run: bool, as_json: bool) -> None:
    """Remove executions that ended long ago, snapshot data that nothing uses, and files left by dead processes.

    Output notebooks stay, and so does everything that an execution needs that has not ended.
    """
    from pauseflow_nb.durations import duration
    from pauseflow_nb.engine.gc import clean

    span = duration(older_than, what="--older-than")
    found = clean(open_queue(settings), older_than=span, dry_run=dry_run)
    if as_json:
        report = {"executions": list(found.executions), "files": found.files, "bytes": found.bytes, "dry_run": dry_run}
        print_json(report)
        return
    for execution in found.executions:
        say(execution)
    count = len(found.executions)
    if dry_run:
        say(f"would remove {_format_count(count, 'execution')}", err=True)
    else:
        what = f"{_format_count(count, 'execution')} and {_format_count(found.files, 'file')} that nothing needed"
        say(f"removed {what}: {found.bytes / 1024**2:.1f} MiB", err=True)


def _format_count(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
