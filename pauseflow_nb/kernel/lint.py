"""Find problems that a headless run of this notebook would have: `%pauseflow lint`.

It reads the notebook's file if the front end names it, with the cells as this kernel last ran them; otherwise
only the cells that this kernel ran. It runs nothing.
"""

import ast
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pauseflow_nb.cells import Header, find_mistake, read_header
from pauseflow_nb.errors import InvalidStep

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

#: Calls after which variables are saved.
_PAUSING = frozenset({"suspend", "rerun", "delay", "sleep", "sleep_until", "run_notebook"})


def find_problems(
    shell: "InteractiveShell", sources: Mapping[int, str], remade: frozenset[str] = frozenset()
) -> list[str]:
    """Describe each problem in one sentence.

    Args:
        shell: The shell in which the cells were run, for its variables.
        sources: Source of the code cells by their place, from 0.
        remade: Names that a `%%setup` cell binds again.
    """
    headers, found = _read_headers(sources)
    pausing: dict[int, str] = {}
    for cell, header in headers.items():
        if header.kind == "step":
            calls = list(_find_calls(sources[cell]))
            found += _list_endless_waits(header.name, calls)
            if any(call in _PAUSING for call, _ in calls):
                pausing[cell] = header.name
    found += _find_idle_fresh_cells(sources, headers, pausing)
    asking = [cell for cell, source in sources.items() if any(call == "input" for call, _ in _find_calls(source))]
    found += [f"cell {cell + 1} calls input(), which nobody can answer in a headless run" for cell in asking]
    return [*found, *_list_lost(shell, sources, pausing, remade)]


def find_sources(shell: "InteractiveShell", ran: Mapping[str, str]) -> dict[int, str]:
    """Find the code cells of the notebook that this kernel serves.

    Args:
        shell: The shell, for its history.
        ran: Source of the cells that were run, by the id that the front end gave them.
    """
    saved = _read_saved_cells(os.environ.get("JPY_SESSION_NAME"))
    if saved:
        return {n: ran.get(identity, source) for n, (identity, source) in enumerate(saved.items())}
    if ran:
        return dict(enumerate(ran.values()))
    history = shell.history_manager.input_hist_raw if shell.history_manager is not None else []
    # Without ids, cells of the same step count as one cell that was run again.
    latest = {_find_name(source) or f"{n} ": source for n, source in enumerate(history) if source.strip()}
    return dict(enumerate(latest.values()))


def _read_saved_cells(path: str | None) -> dict[str, str]:
    try:
        cells = json.loads(Path(path or "").read_text(encoding="utf-8"))["cells"]
        return {
            str(cell.get("id", n)): "".join(cell["source"])
            for n, cell in enumerate(cells)
            if cell["cell_type"] == "code" and "interactive-only" not in cell["metadata"].get("tags", [])
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # not a notebook file, or the path of another server


def _find_name(source: str) -> str | None:
    try:
        header = read_header(source)
    except InvalidStep:
        return None
    return header.name or None if header is not None else None


def _read_headers(sources: Mapping[int, str]) -> tuple[dict[int, Header], list[str]]:
    headers: dict[int, Header] = {}
    found: list[str] = []
    first: dict[str, int] = {}
    for cell, source in sources.items():
        try:
            header = read_header(source, cell=cell)
        except InvalidStep as problem:
            found.append(str(problem))
            continue
        mistake = find_mistake(source)
        if mistake is not None:
            found.append(str(InvalidStep(mistake.step, mistake.problem, cell, mistake.kind)))
        if header is None:
            continue
        headers[cell] = header
        if header.name and first.setdefault(header.name, cell) != cell:
            found.append(f"cells {first[header.name] + 1} and {cell + 1} are both named {header.name!r}: rename one")
    return headers, found


def _find_calls(source: str) -> Iterator[tuple[str, ast.Call]]:
    """Find calls of `flow.NAME` and of plain names, by name."""
    from pauseflow_nb.kernel.snapshot.recovery.dependencies import parse_statements

    for statement in parse_statements(source):
        for node in ast.walk(statement.tree):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Name):
                yield node.func.id, node
            elif isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value).split(".")[-1] == "flow":
                yield node.func.attr, node


def _is_fresh(source: str) -> bool:
    try:
        header = read_header(source)
    except InvalidStep:
        return False
    return header is not None and header.kind == "fresh"


def _find_idle_fresh_cells(
    sources: Mapping[int, str], headers: Mapping[int, Header], pausing: Mapping[int, str]
) -> list[str]:
    """Find fresh cells that pause or ask themselves, and those whose value is never compared."""
    found = []
    for cell, header in headers.items():
        if header.kind != "fresh":
            continue
        call = next((call for call, _ in _find_calls(sources[cell]) if call in _PAUSING), None)
        if call is not None:
            found.append(f"flow.{call}() in fresh cell {header.name!r} fails: put it in a step")
        if not any(
            pause > cell and any(call == "suspend" for call, _ in _find_calls(sources[pause])) for pause in pausing
        ):
            found.append(f"fresh cell {header.name!r} is never compared: no step below it asks with flow.suspend()")
    return found


def _list_endless_waits(step: str, calls: list[tuple[str, ast.Call]]) -> list[str]:
    found = []
    for name, call in calls:
        if name not in {"suspend", "rerun", "pause"} or any(each.arg is None for each in call.keywords):
            continue
        parameter = "delay" if name == "rerun" else "timeout"
        argument = next((each.value for each in call.keywords if each.arg == parameter), None)
        argument = call.args[0] if call.args else argument
        if isinstance(argument, ast.Constant) and argument.value is None:
            found.append(f"flow.{name}() in step {step!r} has no {parameter}: unanswered, it waits for ever")
        elif argument is None and name != "rerun":
            span, then = ("24 h", "is cancelled") if name == "suspend" else ("1 h", "fails")
            found.append(f"flow.{name}() in step {step!r} names no timeout: unanswered for {span}, it {then}")
    return found


def _list_lost(
    shell: "InteractiveShell", sources: Mapping[int, str], pausing: Mapping[int, str], remade: frozenset[str]
) -> list[str]:
    if not pausing:
        return []
    fresh = {cell for cell, source in sources.items() if _is_fresh(source)}
    # Lazily: cloudpickle is needed only to save something, or to check whether it can be saved.
    from pauseflow_nb.kernel.snapshot.pickling.serialize import dump_namespace
    from pauseflow_nb.kernel.snapshot.recovery.decide import decide
    from pauseflow_nb.kernel.snapshot.user_names import find_user_names

    names = [name for name in find_user_names(shell) if name not in remade]
    refused = dump_namespace(shell.user_ns, names, shell).refused
    found: dict[str, str] = {}
    for pausing_cell, step in pausing.items():
        # A fresh cell above runs again after the answer, so variables that it uses are needed.
        coming = {str(cell): source for cell, source in sources.items() if cell > pausing_cell or cell in fresh}
        passed = {str(cell): source for cell, source in sources.items() if cell <= pausing_cell}
        saved = set(names) - refused.keys()
        decided = decide(shell, refused, coming=coming, passed=passed, saved=saved, remade=set(remade))
        for lost in (each for each in decided.unsaved if each.fate == "lost"):
            by = _describe_need(lost.name, coming, shell)
            found.setdefault(
                lost.name,
                f"{lost.name} ({lost.type_name}) cannot be saved when step {step!r} pauses, and {by} needs it: "
                f"{lost.reason}. Make it in a %%setup cell",
            )
    return list(found.values())


def _describe_need(name: str, coming: Mapping[str, str], shell: "InteractiveShell") -> str:
    from pauseflow_nb.kernel.snapshot.recovery.dependencies import find_needed_names

    for cell, source in coming.items():
        if find_needed_names({cell: source}, shell.user_ns).needs(name):
            return f"cell {int(cell) + 1}"
    return "a later cell"
