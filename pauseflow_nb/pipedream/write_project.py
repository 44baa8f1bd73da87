"""Write the folder that an import makes: notebooks, what they need, and a README with the commands."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from pauseflow_nb.errors import InvalidImport
from pauseflow_nb.pipedream.account_props import Accounts
from pauseflow_nb.pipedream.make_notebook import Made, Slugs, make_notebook, make_slug
from pauseflow_nb.pipedream.markdown_text import code_span, one_line, plain
from pauseflow_nb.pipedream.read_source import open_source
from pauseflow_nb.pipedream.workflow_shapes import find_workflows


@dataclass
class Report:
    """What an import made, and what it could not make."""

    source: str
    folder: Path
    made: list[Made]
    #: Files and entries that made no notebook, each with the reason.
    left_out: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """Return the report as JSON."""
        return {
            "folder": str(self.folder),
            "left_out": self.left_out,
            "workflows": [
                {
                    "name": each.workflow.name,
                    "id": each.workflow.identifier,
                    "notebook": str(self.folder / each.path),
                    "steps": each.steps,
                    "triggers": [{"command": line.command, "sentence": line.sentence} for line in each.triggers],
                    "to_do": each.to_do,
                    "notes": each.notes,
                    "pip": each.pip,
                    "npm": each.npm,
                    "secrets": each.secrets,
                    "environment": each.environment,
                    "kept": each.unused,
                }
                for each in self.made
            ],
        }


def import_workflows(source: str | Path, folder: str | Path | None = None) -> Report:
    """Make notebooks of the workflows of Pipedream that a source holds.

    Args:
        source: A project's export (ZIP), the JSON of the REST API, `workflow.yaml` of GitHub Sync, or a folder with it.
        folder: Where to write; it must not exist, or be empty. None: the name of the source, in the working directory.

    Raises:
        InvalidImport: If the source holds no workflow or is not safe to read, or the folder is taken.
    """
    path = Path(source)
    target = Path(folder) if folder is not None else _default_folder(path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidImport(str(source), f"{target} exists already: name another folder with -o")
    with open_source(path) as opened:
        found = find_workflows(opened)
    slugs, accounts = Slugs(), Accounts()
    made = [make_notebook(each, slugs.add(each.name), accounts) for each in found.workflows]
    report = Report(str(source), target, made, found.left_out)
    _write(report)
    return report


def _default_folder(path: Path) -> Path:
    name = path.resolve().name
    stem = name if path.is_dir() else Path(name).stem
    folder = make_slug(path.resolve().parent.name if stem == "workflow" else stem)
    return Path(f"{folder}-notebooks")


def _write(report: Report) -> None:
    """Write everything beside the folder, and then put it there as a whole."""
    report.folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{report.folder.name}-", dir=report.folder.parent))
    try:
        for path, text in _list_files(report):
            whole = beside / path
            whole.parent.mkdir(parents=True, exist_ok=True)
            whole.write_text(text, encoding="utf-8")
        beside.chmod(0o777 & ~_get_umask())
        if report.folder.exists():
            report.folder.rmdir()
        beside.rename(report.folder)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise InvalidImport(report.source, f"{report.folder} cannot be written: {error.strerror}") from None


def _get_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _list_files(report: Report) -> Iterator[tuple[str, str]]:
    for each in report.made:
        yield each.path, nbformat.writes(each.notebook) + "\n"
    npm = _merge(each.npm for each in report.made)
    secrets = _merge(each.secrets for each in report.made)
    environment = list(dict.fromkeys(name for each in report.made for name in each.environment))
    yield "requirements.txt", "".join(f"{line}\n" for line in _list_requirements(report))
    if npm:
        yield "package.json", json.dumps({"private": True, "dependencies": npm}, indent=2) + "\n"
    if secrets or environment:
        yield ".env.example", _write_environment(secrets, environment)
    yield ".gitignore", ".env\nnode_modules/\n"
    yield "README.md", _write_readme(report, has_npm=bool(npm), has_environment=bool(secrets or environment))


def _merge(parts: Iterator[Mapping[str, str]]) -> dict[str, str]:
    merged: dict[str, str] = {}
    for part in parts:
        merged.update(part)
    return dict(sorted(merged.items()))


def _list_requirements(report: Report) -> list[str]:
    lines = {line.lower(): line for each in report.made for line in each.pip}
    # With the extra, Node.js comes as a package.
    ours = "pauseflow-nb[node]" if any(each.has_node for each in report.made) else "pauseflow-nb"
    return [ours, *(lines[key] for key in sorted(lines) if key != "pauseflow-nb")]


def _write_environment(secrets: Mapping[str, str], environment: list[str]) -> str:
    lines = ["# Copy this file to .env, fill in the values, and load it before you start pauseflow:", "#"]
    lines += ["#     set -a; . ./.env; set +a", ""]
    for name, what in secrets.items():
        # A shell reads this file: what came from outside must not begin a line of its own.
        lines += [f"# {one_line(what)}", f"PAUSEFLOW_SECRET_{name}="]
    if environment:
        lines += ["", "# Environment variables that the code reads"] if secrets else []
        lines += [f"{name}=" for name in environment]
    return "\n".join(lines) + "\n"


def _write_readme(report: Report, *, has_npm: bool, has_environment: bool) -> str:
    count = len(report.made)
    origin = (
        f"{count} notebook{'' if count == 1 else 's'}, converted from Pipedream workflows in {code_span(Path(report.source).name)} by "
        "`pauseflow import`. Each runs on its own, and pauses where the workflow did."
    )
    lines = [
        f"# {report.folder.name}",
        "",
        origin,
        "",
        "## Start",
        "",
        "```shell",
        "pip install -r requirements.txt",
        *(["npm install"] if has_npm else []),
        *(["cp .env.example .env   # and fill in the values", "set -a; . ./.env; set +a"] if has_environment else []),
        f"pauseflow run {min(report.made, key=lambda each: len(each.to_do)).path}",
        "```",
        "",
        "Run the commands in this folder. Triggers need a running server: `pauseflow serve`. With `pauseflow run`, the",
        "parameters are the event that steps read as `steps.trigger.event`, for example `-y '{body: {name: Ada}}'`. For",
        'cells that you run by hand, `%pauseflow trigger {"body": {"name": "Ada"}}` sets the event.',
    ]
    for each in report.made:
        lines += ["", *_describe_workflow(each)]
    if report.left_out:
        lines += [
            "",
            "## Not imported",
            "",
            *(f"- {code_span(path)}: {plain(reason)}" for path, reason in report.left_out.items()),
        ]
    return "\n".join(lines) + "\n"


def _describe_workflow(made: Made) -> Iterator[str]:
    yield f"## {plain(made.workflow.name)}"
    yield ""
    yield f"Notebook: [{made.path}]({made.path})"
    if not made.workflow.is_active:
        yield ""
        yield "It was disabled on Pipedream: add its trigger only if you want it to run."
    commands = [line.command for line in made.triggers if line.command]
    yield ""
    yield from ["```shell", f"pauseflow run {made.path}", *commands, "```"]
    sections = (
        ("To do by hand:", made.to_do),
        ("Changed:", made.notes),
        ("npm packages:", [f"`{name}` {plain(version)}" for name, version in made.npm.items()]),
    )
    for title, rows in sections:
        if rows:
            yield ""
            yield title
            yield ""
            yield from (f"- {row}" for row in rows)
    if made.unused:
        yield ""
        yield f"Kept in the notebook's metadata, without effect: {', '.join(map(code_span, made.unused))}."
