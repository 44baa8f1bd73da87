"""Define `pauseflow trigger`: what starts executions, by a schedule or by requests to a signed URL."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pauseflow_nb.cli.completion import complete_files
from pauseflow_nb.cli.options import (
    CommandGroup,
    format_flags,
    open_queue,
    print_execution,
    print_json,
    print_lines,
    read_or_nothing,
    store_options,
)
from pauseflow_nb.cli.papermill_options import parameter_values
from pauseflow_nb.errors import InvalidValue
from pauseflow_nb.json_values import JSON, dump_json, read_json
from pauseflow_nb.queues import describe_stranded
from pauseflow_nb.settings import Settings

if TYPE_CHECKING:
    from pauseflow_nb.engine.triggers.managing import NewTrigger

_NO_WORKER = "no worker is running to start executions for this trigger: run `pauseflow serve{}`"
_FORMS = ("typed", "raw", "files", "yaml", "base64_yaml")

_trigger_argument = click.argument("trigger_id", metavar="TRIGGER")


@click.group(cls=CommandGroup)
def trigger() -> None:
    """Start executions on a schedule, or by requests to a signed URL."""


@trigger.command()
@click.argument("notebook", metavar="IN.ipynb", shell_complete=complete_files)
@click.option("--http", is_flag=True, help="Start the notebook by requests to a signed URL.")
@click.option("--cron", metavar="EXPRESSION", help='Start it at the times of a cron expression: "0 8 * * 1-5".')
@click.option("--every", metavar="SPAN", help="Start it at an interval, such as 10m.")
@click.option("--at", metavar="TIME", help="Start it once, at a time such as 2030-01-31T08:00.")
@click.option(
    "--tz", "zone", metavar="ZONE", help="Time zone of --cron and --at, such as Europe/Berlin.  [default: UTC]"
)
@click.option(
    "--missed",
    type=click.Choice(["run", "skip"]),
    default="run",
    show_default=True,
    help="What to do about times that passed while no worker was alive: start once, or not at all.",
)
@click.option(
    "--overlap",
    type=click.Choice(["queue", "skip", "allow"]),
    default="queue",
    show_default=True,
    help="What to do at a time while the last execution has not ended: wait for its end, skip the time, or start.",
)
@click.option("--wait", "waits", is_flag=True, help="With --http: a request waits up to 30 s for `flow.respond`.")
@click.option(
    "--event",
    type=click.Choice(["request", "body"]),
    default="request",
    show_default=True,
    help="With --http: what `steps.trigger.event` holds: the whole request or only its body.",
)
@click.option("--cwd", metavar="DIR", help="Working directory of the kernels; by default the folder of the notebook.")
@click.option("-k", "--kernel", help="Kernel to use instead of the one that the notebook names.")
@click.option("--strict", is_flag=True, help="Fail a step if a variable that later cells need cannot be saved.")
@parameter_values
@store_options
def add(
    settings: Settings,
    *,
    notebook: str,
    http: bool,
    cron: str | None,
    every: str | None,
    at: str | None,
    zone: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Add a trigger for a notebook: --http, --cron, --every or --at. The notebook is read again at each start."""
    from pauseflow_nb.engine.triggers import managing
    from pauseflow_nb.identity import identify_account

    times = {"cron": cron, "every": every, "at": at}
    if http == any(value is not None for value in times.values()):
        raise click.UsageError("pass one of --http, --cron, --every and --at")
    _check_flags(http=http, zone=zone, **options)
    new = _make_trigger(notebook, None if http else {**times, "zone": zone}, options)
    queue = open_queue(settings, creates=True)
    _print(managing.add(queue, new, by=identify_account()), as_json=as_json)
    if not queue.has_live_worker():
        print_lines(_NO_WORKER.format(format_flags(settings)), err=True)


@trigger.command("list")
@store_options
def list_(settings: Settings, *, as_json: bool) -> None:
    """List triggers, with the next time of each and the result of its last one."""
    from pauseflow_nb.cli.terminal import format_table
    from pauseflow_nb.engine.triggers.managing import list_triggers

    found = read_or_nothing(settings, list_triggers)
    if as_json:
        print_json(found)
        return
    if not found:
        print_lines("no triggers yet: `pauseflow trigger add NOTEBOOK.ipynb --http` adds one")
        return
    rows = [
        (
            each["id"],
            each["state"],
            _describe_start(each),
            _minutes(each["next_at"]),
            _describe_last(each["last"]),
            each["notebook"],
        )
        for each in found
    ]
    print_lines(format_table([("ID", "STATE", "STARTS", "NEXT (UTC)", "LAST", "NOTEBOOK"), *rows]))


@trigger.command()
@_trigger_argument
@store_options
def show(settings: Settings, *, trigger_id: str, as_json: bool) -> None:
    """Show one trigger, with its URL."""
    from pauseflow_nb.engine.triggers.managing import view

    _print(view(open_queue(settings), trigger_id), as_json=as_json)


@trigger.command()
@_trigger_argument
@store_options
def pause(settings: Settings, *, trigger_id: str, as_json: bool) -> None:
    """Stop a trigger from starting executions until it is resumed."""
    _change("pause", settings, trigger_id, as_json=as_json)


@trigger.command()
@_trigger_argument
@store_options
def resume(settings: Settings, *, trigger_id: str, as_json: bool) -> None:
    """Let a paused trigger start executions again; times that passed while it was paused start nothing."""
    _change("resume", settings, trigger_id, as_json=as_json)


@trigger.command()
@_trigger_argument
@store_options
def rotate(settings: Settings, *, trigger_id: str, as_json: bool) -> None:
    """Replace the URL of an HTTP trigger; the old URL is refused from now on."""
    _change("rotate", settings, trigger_id, as_json=as_json)


@trigger.command()
@_trigger_argument
@store_options
def remove(settings: Settings, *, trigger_id: str, as_json: bool) -> None:
    """Remove a trigger; executions that it has started continue."""
    from pauseflow_nb.engine.triggers import managing

    queue = open_queue(settings)
    before = managing.view(queue, trigger_id, with_links=False)
    managing.remove(queue, trigger_id)
    if as_json:
        print_json({**before, "state": "removed", "next_at": None})
    else:
        print_lines(f"trigger {trigger_id} was removed")


@trigger.command()
@_trigger_argument
@click.option("--data", metavar="JSON", help="Body of the event of an HTTP trigger.")
@store_options
def run(settings: Settings, *, trigger_id: str, data: str | None, as_json: bool) -> None:
    """Start an execution now; the schedule does not change."""
    from pauseflow_nb.engine.triggers import managing

    queue = open_queue(settings)
    execution = managing.run(queue, trigger_id, data=_read_data(data))
    if not queue.has_runner(execution):
        print_lines(describe_stranded(queue.find_queue(execution), format_flags(settings)), err=True)
    print_execution(queue.view(execution), as_json=as_json)


def _check_flags(
    *, http: bool, zone: str | None, waits: bool, event: str, missed: str, overlap: str, **_others: Any
) -> None:
    """Refuse flags that have no meaning for the trigger."""
    if http and zone is not None:
        raise click.UsageError("--tz works only with --cron and --at")
    for flag, is_set in {"--missed": missed != "run", "--overlap": overlap != "queue"}.items():
        if http and is_set:
            raise click.UsageError(f"{flag} works only with --cron, --every and --at")
    for flag, is_set in {"--wait": waits, "--event": event != "request"}.items():
        if is_set and not http:
            raise click.UsageError(f"{flag} works only with --http")


def _change(what: str, settings: Settings, trigger_id: str, *, as_json: bool) -> None:
    from pauseflow_nb.engine.triggers import managing

    queue = open_queue(settings)
    getattr(managing, what)(queue, trigger_id)
    _print(managing.view(queue, trigger_id), as_json=as_json)


def _make_trigger(notebook: str, times: dict[str, str | None] | None, options: dict[str, Any]) -> "NewTrigger":
    from pauseflow_nb.cli.parameter_flags import resolve_parameters
    from pauseflow_nb.engine.triggers.managing import NewTrigger
    from pauseflow_nb.engine.triggers.schedule import Schedule

    parameters = resolve_parameters(**{form: options.pop(form) for form in _FORMS})
    cwd = options.pop("cwd")
    return NewTrigger(
        notebook,
        None if times is None else Schedule.read(**times),
        parameters,
        cwd=None if cwd is None else str(Path(cwd).absolute()),
        **options,
    )


def _read_data(text: str | None) -> JSON:
    try:
        return None if text is None else read_json(text)
    except ValueError as problem:
        raise InvalidValue("--data", text[:100] if text else text, str(problem)) from None


def _print(view: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    lines = [
        f"trigger {view['id']}: {view['state']}",
        f"  notebook    {view['notebook']}",
        f"  starts      {_describe_start(view)}",
    ]
    lines += [f"  parameters  {dump_json(view['parameters'])}"] if view["parameters"] else []
    lines += [f"  next        {_minutes(view['next_at'])} UTC"] if view["next_at"] else []
    lines += [f"  last        {_describe_last(view['last'])}"] if view["last"] else []
    lines += [f"  url         {view['url']}"] if view["url"] else []
    print_lines("\n".join(lines))


def _describe_start(view: dict[str, Any]) -> str:
    schedule = view["schedule"]
    if schedule is None:
        return "by HTTP; requests wait for flow.respond" if view["waits"] else "by HTTP"
    if schedule["every_seconds"] is not None:
        from datetime import timedelta

        from pauseflow_nb.durations import format_duration

        return f"every {format_duration(timedelta(seconds=schedule['every_seconds']))}"
    if schedule["cron"] is not None:
        return f"{schedule['cron']} ({schedule['zone']})"
    return f"at {_minutes(schedule['at'])} UTC"


def _describe_last(last: dict[str, Any] | None) -> str:
    if last is None:
        return "-"
    words = {
        "started": f"started {last['execution']}",
        "skipped": f"skipped, because {last['execution']} has not ended",
        "queued": f"waits for {last['execution']} to end",
        "missed": "missed, because no worker was alive",
        "failed": f"failed: {last['text']}",
    }
    return f"{_minutes(last['at'])} {words.get(last['what'], last['what'])}"


def _minutes(time: str | None) -> str:
    return "-" if time is None else time[:19].replace("T", " ")
