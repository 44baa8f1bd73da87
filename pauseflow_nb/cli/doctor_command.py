"""Define `pauseflow doctor`, which shows the settings in force, and what would not work with them."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from pauseflow_nb.cli.completion import complete_files
from pauseflow_nb.cli.doctor_checks import Finding, check_environment, check_files, check_machine, check_store
from pauseflow_nb.cli.options import COMPLETED, FAILED, json_option, open_queue, print_json, print_lines, store_flags
from pauseflow_nb.errors import InvalidSetting, NotebookNotFound
from pauseflow_nb.settings import Settings, default_data_dir

_MARKS = {"ok": "ok", "note": "note", "wrong": "WRONG"}


@click.command()
@click.argument("notebook", metavar="[NOTEBOOK]", required=False, shell_complete=complete_files)
@json_option
@store_flags
def doctor(*, notebook: str | None, as_json: bool, **flags: Any) -> None:
    """Show the settings and where they come from, and check that everything works.

    Reads the `pauseflow.toml` beside NOTEBOOK, or the one in the working directory. Exit code 1: something is wrong.
    """
    if notebook is not None and not Path(notebook).exists():
        raise NotebookNotFound(notebook)
    beside = Path() if notebook is None else Path(notebook).parent
    settings, found = None, list(check_environment(os.environ))
    try:
        settings, problem = Settings.load(flags=flags, beside=beside), None
        data_dir = settings.data_dir
    except InvalidSetting as error:
        problem, data_dir = (
            error,
            Path(flags.get("data_dir") or os.environ.get("PAUSEFLOW_DATA_DIR") or default_data_dir()),
        )
    in_files = list(check_files([beside, data_dir]))
    found += in_files
    if problem is not None and not any(_is_same(problem, each) for each in in_files):
        found.append(Finding("settings", "wrong", str(problem)))
    if settings is not None:
        found += [*check_store(settings, open_queue), *check_machine(settings)]
    _show(settings, found, as_json=as_json)
    sys.exit(FAILED if any(each.status == "wrong" for each in found) else COMPLETED)


def _is_same(problem: InvalidSetting, finding: Finding) -> bool:
    return f"{problem.name} is not a setting" in finding.text or problem.problem in finding.text


def _show(settings: Settings | None, found: list[Finding], *, as_json: bool) -> None:
    from pauseflow_nb.cli.terminal import format_table

    names = [] if settings is None else type(settings).model_fields
    rows = [] if settings is None else [(name, settings.shown(name), settings.origin(name)) for name in names]
    if as_json:
        shown = {name: {"value": value, "origin": origin} for name, value, origin in rows}
        ok = {each.name: each.text for each in found if each.status == "ok"}
        alive = {"worker": "worker" in ok, "server": ok.get("server")}
        print_json({"settings": shown, **alive, "checks": [vars(each) for each in found]})
        return
    if rows:
        print_lines(format_table([("SETTING", "VALUE", "FROM"), *rows]))
    print_lines(
        ("\n" if rows else "")
        + format_table(
            [("CHECK", "RESULT", "DETAILS"), *((each.name, _MARKS[each.status], each.text) for each in found)]
        )
    )
    for each in found:
        if each.status == "wrong":
            print_lines(f"pauseflow: {each.text}", err=True)
