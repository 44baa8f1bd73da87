"""The notebooks of a chaos run: small ones, of each kind of pause, that write down each run of a step outside the store.

What a step does to variables can be seen at the end: `trail` holds each run that counted, once and in order, and
`heard` holds the answers. A line of the log at the beginning of a step and one at its end show what really ran.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

__all__ = ["KINDS", "Kind", "write_notebooks"]

_PRELUDE = """\
import json, os, time
from pauseflow_nb import flow, steps
trail, heard = [], []
def tell(what, **more):
    run = flow.context["run"]
    facts = {{"what": what, "execution": flow.context["id"], "step": flow.context["step"], "run": run["runs"]}}
    facts |= {{"attempt": run["attempt"], "pid": os.getpid(), "at": time.clock_gettime(time.CLOCK_MONOTONIC), **more}}
    log = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(log, (json.dumps(facts) + "\\n").encode())
    finally:
        os.close(log)
def begin():
    tell("begin")
def send(asked):
    tell("link", resume=asked.resume_url, cancel=asked.cancel_url)
    time.sleep(0.05)
def hear(data):
    heard.append(data["nonce"] if isinstance(data, dict) else data)
def done():
    run = flow.context["run"]
    trail.append(f"{{flow.context['step']}}/{{run['runs']}}")
    tell("end")
"""

_SHOW = "{'trail': trail, 'heard': heard}"


@dataclass(frozen=True)
class Kind:
    """One notebook, and what must come of it."""

    name: str
    cells: tuple[str, ...]
    #: `STEP/RUN` of each run, in order, if it runs to its end.
    trail: tuple[str, ...]
    #: The steps whose answers it heard, in order; a text is heard as it is.
    heard: tuple[str, ...] = ()
    #: How it may end without an error of ours.
    ends: frozenset[str] = frozenset({"completed"})
    #: How often it is chosen.
    weight: int = 2
    #: Whether another starts it.
    is_child: bool = False
    #: What its step of that name heard if nobody answered.
    defaults: dict[str, Any] = field(default_factory=dict)
    #: Whether its answers are checked against a schema.
    has_schema: bool = False


def _step(name: str, *lines: str, last: str | None = None) -> str:
    body = ["begin()", *lines, "done()", *([last] if last else [])]
    return "\n".join([f"%%step {name}", *body])


_CANCELLABLE = frozenset({"completed", "cancelled"})
_LAST = _step("last", last=_SHOW)
_SCHEMA = '{"type": "object", "required": ["nonce"], "properties": {"nonce": {"type": "string"}}}'

_ALL = (
    Kind(
        "chain",
        (
            _step("first"),
            _step("ask", "send(flow.suspend(None, title='first', data={'n': 1}))"),
            _step("between", "hear(steps.ask.data)"),
            _step("again", "send(flow.suspend(None, title='second'))"),
            "hear(steps.again.data)",
            _LAST,
        ),
        ("first/1", "ask/1", "between/1", "again/1", "last/1"),
        ("ask", "again"),
        _CANCELLABLE,
        weight=4,
    ),
    Kind(
        "several",
        (
            _step("ask", "for n in range(3):\n    send(flow.suspend(None, title=str(n)))"),
            _step("heard_it", "hear(steps.ask.data)"),
            _LAST,
        ),
        ("ask/1", "heard_it/1", "last/1"),
        ("ask",),
        _CANCELLABLE,
    ),
    Kind(
        "rerun",
        (_step("poll", "send(flow.rerun(300, {'n': 1}, max_retries=2))"), _LAST),
        ("poll/1", "poll/2", "poll/3", "last/1"),
        ends=_CANCELLABLE,
    ),
    Kind(
        "delay",
        (_step("wait", "send(flow.delay(400))"), _step("sleep", "flow.sleep('700ms')"), _LAST),
        ("wait/1", "sleep/1", "last/1"),
        ends=_CANCELLABLE,
    ),
    Kind(
        "pause",
        (_step("hold", "hear(flow.pause(None, title='hold'))"), _step("between"), _LAST),
        ("hold/1", "between/1", "last/1"),
        ("hold",),
        frozenset({"completed", "cancelled"}),
    ),
    Kind(
        "timeout",
        (
            _step("ask", "send(flow.suspend('1500ms', on_timeout='resume', default={'nonce': 'nobody'}))"),
            _step("heard_it", "hear(steps.ask.data)"),
            _LAST,
        ),
        ("ask/1", "heard_it/1", "last/1"),
        ("ask",),
        _CANCELLABLE,
        defaults={"ask": "nobody"},
    ),
    Kind(
        "deadline",
        (_step("ask", "send(flow.suspend('1s', on_timeout='cancel'))"), "hear(steps.ask.data)", _LAST),
        ("ask/1", "last/1"),
        ("ask",),
        _CANCELLABLE,
    ),
    Kind(
        "schema",
        (
            _step("ask", f"send(flow.suspend(None, schema={_SCHEMA}))"),
            _step("heard_it", "hear(steps.ask.data)"),
            _LAST,
        ),
        ("ask/1", "heard_it/1", "last/1"),
        ("ask",),
        _CANCELLABLE,
        has_schema=True,
    ),
    Kind(
        "approvals",
        (
            _step("ask", "send(flow.suspend(None, approvals=2))"),
            _step("heard_it", "hear(steps.ask.data)"),
            _LAST,
        ),
        ("ask/1", "heard_it/1", "last/1"),
        ("ask",),
        _CANCELLABLE,
    ),
    Kind(
        "fresh",
        (
            "%%fresh price\n7",
            _step("ask", "send(flow.suspend(None))"),
            _step("heard_it", "hear(steps.ask.data)"),
            _LAST,
        ),
        ("ask/1", "heard_it/1", "last/1"),
        ("ask",),
        _CANCELLABLE,
    ),
    Kind(
        "twice",
        (
            _step("ask", "if flow.context['run']['runs'] < 2:\n    send(flow.suspend(None, then='rerun'))"),
            _LAST,
        ),
        ("ask/1", "ask/2", "last/1"),
        ends=_CANCELLABLE,
    ),
    Kind("exit", (_step("stop", "flow.exit('enough')", last=_SHOW), _LAST), ("stop/1",), weight=1),
    Kind(
        "nested",
        (
            _step(
                "start",
                "flow.run_notebook('child.ipynb', name='one')",
                "flow.run_notebook('child.ipynb', name='two', check=False)",
            ),
            _LAST,
        ),
        ("start/1", "last/1"),
        # A cancelled child fails the step that must not have one.
        ends=frozenset({"completed", "failed"}),
    ),
    Kind(
        "child",
        (_step("ask", "send(flow.suspend(None))"), _step("heard_it", "hear(steps.ask.data)"), _LAST),
        ("ask/1", "heard_it/1", "last/1"),
        ("ask",),
        _CANCELLABLE,
        is_child=True,
    ),
    Kind("tick", (_LAST,), ("last/1",), is_child=True),
    Kind(
        "hook",
        (_step("ask", "send(flow.suspend('2s', on_timeout='resume'))"), _LAST),
        ("ask/1", "last/1"),
        ends=_CANCELLABLE,
        is_child=True,
    ),
)

KINDS = {kind.name: kind for kind in _ALL}


def write_notebooks(folder: Path, name_of: Callable[[str], str], names: list[str], log: Path) -> None:
    """Write notebooks of these kinds into a folder; `name_of` gives the file's name without its ending."""
    for name in names:
        cells = [new_code_cell(source) for source in (_PRELUDE.format(log=str(log)), *KINDS[name].cells)]
        made = new_notebook(cells=cells)
        made.metadata.kernelspec = {"name": "python3", "language": "python", "display_name": "Python"}
        nbformat.write(made, folder / f"{name_of(name)}.ipynb")
