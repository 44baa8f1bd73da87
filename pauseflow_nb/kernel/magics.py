"""Provide `%pauseflow`, which controls the flow when cells are run by hand."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from pauseflow_nb.errors import InvalidStep, InvalidValue, PauseflowError
from pauseflow_nb.json_values import JSON, read_json
from pauseflow_nb.kernel.tracebacks import hide_traceback
from pauseflow_nb.suggestions import did_you_mean

if TYPE_CHECKING:
    from pauseflow_nb.kernel.session import Session

_USAGE = "must be one of: state, reset, approve [JSON], send_back [COMMENT], cancel, skip, trigger [JSON], lint"


def pauseflow_magic(session: "Session", line: str) -> None:
    """Show or change the state of the flow in this kernel.

    %pauseflow                 what waits, and which steps have run
    %pauseflow state           the same, and what a pause would do with each variable
    %pauseflow approve [JSON]  answer the step that waits, with data
    %pauseflow send_back TEXT  send the question back: its step runs again, with this comment
    %pauseflow cancel          cancel the flow; steps refuse to run until a reset
    %pauseflow skip            end the waiting time now: a rerun runs again, a delay ends
    %pauseflow reset           forget what was run by hand; variables stay as they are
    %pauseflow trigger [JSON]  set steps.trigger.event to this sample; without JSON, show it
    %pauseflow lint            list problems that a headless run of this notebook would have

    The buttons under a cell do the same as approve, send_back, cancel and skip.
    """
    word, _, rest = line.strip().partition(" ")
    try:
        print(_run_command(session, word, rest.strip()) if word else session.describe())  # noqa: T201 (a magic's answer)
    except PauseflowError as error:
        raise hide_traceback(error) from None


def step_magic(line: str, cell: str | None = None) -> None:
    """Make this cell a step of the workflow.

    %%step NAME [--timeout 10m] [--retries 3] [--retry-delay 30s] [--backoff 2]

    NAME is a Python identifier, used once in the notebook; the step's results are steps.NAME.
    Inside, `flow.suspend()`, `flow.rerun()` and `flow.delay()` ask to pause when the cell ends; run by
    hand it then stops without a traceback and shows buttons. The rest of the cell is ordinary: await, magics, !commands.

    --timeout 10m      the longest that the step may run
    --retries 3        how often a step that raised is tried again
    --retry-delay 30s  the wait before the first retry
    --backoff 2        what the wait is multiplied by before each further one
    """
    del cell
    raise hide_traceback(InvalidStep(line.strip(), "`%%step` must be the first line of a cell"))


def fresh_magic(line: str, cell: str | None = None) -> None:
    """Make this a fresh cell: its value must still be the same when a question has been answered.

    %%fresh NAME [--tolerance 1%] [--on-drift ask|fail|go]

    It ends with its value: a number, a text, JSON, an array or a frame. After an answer it runs again, and the value is
    compared with the one that was shown. Run by hand, it is an ordinary cell and shows what would be compared.

    --tolerance 0.5    by how much a number may differ; 1% of the number that was shown
    --on-drift ask     what happens if it differs: the question is asked again (ask), the run fails (fail), it is noted (go)
    """
    del cell
    raise hide_traceback(InvalidStep(line.strip(), "`%%fresh` must be the first line of a cell"))


def setup_magic(line: str, cell: str | None = None) -> None:
    """Make this a setup cell, which runs again in every new kernel.

    %%setup

    Use it for objects that cannot be saved while a notebook waits: connections, clients, logging. Run by hand, it is
    an ordinary cell.
    """
    del cell
    raise hide_traceback(InvalidStep(line.strip(), "`%%setup` must be the first line of a cell"))


def _run_command(session: "Session", word: str, rest: str) -> str:
    if word == "lint" and not rest:
        return _lint(session)
    if word == "state" and not rest:
        return session.describe() + _list_variables(session)
    testmode = session.test_mode
    if testmode is None:
        raise InvalidValue("%pauseflow", word, "is for cells run by hand, and this is a headless run")
    if word == "approve":
        return testmode.approve(_parse_body(word, rest)) if rest else testmode.approve()
    if word == "send_back":
        return testmode.send_back(rest)
    if word == "trigger":
        return testmode.set_sample(_parse_body(word, rest)) if rest else testmode.describe_sample()
    simple: dict[str, Callable[[], str]] = {
        "cancel": testmode.cancel,
        "skip": testmode.clock,
        "reset": lambda: _reset(session),
    }
    if word in simple and not rest:
        return simple[word]()
    known = ("state", "approve", "send_back", "trigger", "lint", *simple)
    raise InvalidValue(
        "%pauseflow", f"{word} {rest}".strip(), _USAGE + ("" if word in known else did_you_mean(word, known))
    )


def _reset(session: "Session") -> str:
    session.reset()
    return "The flow starts over: no step has run, nothing waits. Variables stay as they are."


def _lint(session: "Session") -> str:
    from pauseflow_nb.kernel.lint import find_problems, find_sources  # lazy: most kernels never need it

    remade = frozenset(session.bindings.remade)
    found = find_problems(session.shell, find_sources(session.shell, session.ran), remade)
    if not found:
        return "No problems found for a headless run."
    return "\n".join(f"- {sentence}." for sentence in found)


def _list_variables(session: "Session") -> str:
    from pauseflow_nb.kernel import snapshot  # lazily: it loads cloudpickle

    reports = snapshot.describe(session.shell, remade=frozenset(session.bindings.remade))
    if not reports:
        return ""
    # Whether later cells need a variable is not checked here: `%pauseflow lint` does that.
    rows = snapshot.make_rows(
        replace(each, fate="cannot be saved") if each.fate == "lost" else each for each in reports
    )
    widths = [max(len(row[n]) for row in rows) for n in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]) for row in rows
    ]
    return "\n".join(["\nvariables, as a pause would save them:", *(f"  {line}" for line in lines)])


def _parse_body(word: str, text: str) -> JSON:
    try:
        return read_json(text)
    except ValueError as problem:
        raise InvalidValue(f"%pauseflow {word}", text, str(problem)) from None
