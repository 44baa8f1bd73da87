"""Exchange the messages of `protocol` with a kernel: briefings, outcomes, suspends and questions.

Only Python kernels understand these messages; they are sent as code that the kernel runs outside of any cell.
"""

import json
from collections.abc import Iterator

from pauseflow_nb.errors import KernelUnavailable
from pauseflow_nb.protocol import SOURCE, Briefing, Failure, FreshValue, Outcome, Ready
from pauseflow_nb.runner.client import KernelClient, Reply, Tick
from pauseflow_nb.runner.document import Document

# Imports and calls as expressions: the user's namespace keeps no name of ours.
# The second line: a kernel drops messages beyond the 1000th that we have not yet received; this removes the limit. It
# runs on the thread of the socket, because a socket belongs to one thread.
_LOAD = """\
__import__('pauseflow_nb.kernel.ipython_extension', fromlist=['load']).load(get_ipython(), bind_names=False)
(lambda thread: thread.schedule(lambda: thread.socket.set_hwm(0)))(get_ipython().kernel.iopub_thread)
"""
_BEGIN = "get_ipython().pauseflow.begin({!r})"
_GO_ON = "get_ipython().pauseflow.begin_next({!r})"
_SUSPEND = "get_ipython().pauseflow.suspend({!r})"
_SETTLE = "get_ipython().pauseflow.settle_names()"


def brief_new_kernel(
    client: KernelClient, briefing: Briefing, document: Document, setups: list[int], tick: Tick
) -> Iterator[Ready]:
    """Load our extension in a new kernel, restore the variables and run the setup cells above the first cell.

    Args:
        client: The connection to the kernel.
        briefing: The briefing for the kernel.
        document: The notebook.
        setups: Indices of the setup cells to run, in order. Their outputs are dropped: the document has those of the
            first time.
        tick: Answers questions of the kernel meanwhile.

    Yields:
        The kernel's answers: one when the variables are restored, one when the setup cells have run. After an answer
        with a failure, the caller must stop.

    Raises:
        KernelUnavailable: If the interpreter of the kernel cannot import this package.
    """
    _load_extension(client)
    yield _read_ready(client.run(_BEGIN.format(briefing.to_json()), tick=tick), document)
    for index in setups:
        reply = client.run(document.cells[index].source, tick=tick)
        if reply.status != "ok":
            yield Ready(failure=Failure(reply.ename, str(document.masked(reply.evalue)), index))
            return
    yield _read_ready(client.run(_SETTLE, tick=tick), document)


def brief_same_kernel(client: KernelClient, briefing: Briefing, document: Document, tick: Tick) -> Iterator[Ready]:
    """Brief the kernel that ran the previous segment, which has its variables and has run the setup cells."""
    yield _read_ready(client.run(_GO_ON.format(briefing.to_json()), tick=tick), document)


def suspend_kernel(client: KernelClient, next_cell: int, tick: Tick) -> Reply:
    """Save the variables of a kernel between two cells; `read_outcome` reads the result."""
    return client.run(_SUSPEND.format(next_cell), tick=tick)


def read_question(text: str) -> tuple[str, str]:
    """Read a question of our code in the kernel: its kind and its JSON; both are empty for any other question."""
    try:
        question = json.loads(text)
        return (question["kind"], question["json"]) if question["source"] == SOURCE else ("", "")
    except (ValueError, KeyError, TypeError):
        return "", ""


def read_outcome(reply: Reply, document: Document) -> Outcome | None:
    """Read how a step ended, with secrets masked; None if the reply is to a cell without a step."""
    text = _find_payload(reply)
    return None if text is None else Outcome.from_dict(document.without_secrets(json.loads(text)))


def read_value(reply: Reply) -> FreshValue | None:
    """Read the value of a fresh cell; None if it failed."""
    text = _find_payload(reply) if reply.status == "ok" else None
    return None if text is None else FreshValue.from_json(text)


def _read_ready(reply: Reply, document: Document) -> Ready:
    text = _find_payload(reply)
    if text is None:
        message = document.without_secrets(reply.evalue) or "the kernel did not answer its briefing"
        return Ready(failure=Failure(reply.ename or "RuntimeError", message))
    return Ready.from_dict(document.without_secrets(json.loads(text)))


def _find_payload(reply: Reply) -> str | None:
    return next((str(payload["json"]) for payload in reply.payload if payload.get("source") == SOURCE), None)


def _load_extension(client: KernelClient) -> None:
    reply = client.run(_LOAD)
    if reply.status == "ok":
        return
    spec = client.kernel.spec
    problem = f"its interpreter {spec.interpreter} cannot load pauseflow_nb ({reply.ename}: {reply.evalue}); "
    remedy = f"install it there with `{spec.interpreter} -m pip install pauseflow-nb`"
    raise KernelUnavailable(spec.name, problem + remedy)
