"""A real `InteractiveShell` per test, whose cells can be steps."""

import contextlib
import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from IPython import version_info
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from shells import new_shell
from traitlets.config import Config

from pauseflow_nb.kernel.ipython_extension import load
from pauseflow_nb.kernel.session import Session
from pauseflow_nb.protocol import SOURCE, Briefing, Links, Outcome, Ready, StepBriefing


@dataclass
class Ran:
    """One cell that was run, and what came of it."""

    value: Any
    error: BaseException | None
    text: str
    warnings: str
    displays: list[dict[str, str]]
    messages: list[dict[str, Any]]

    @property
    def ok(self) -> bool:
        return self.error is None

    @property
    def shown(self) -> str:
        """Everything that the cell shows as text."""
        return self.text + "".join(d.get("text/plain", "") for d in self.displays)

    @property
    def outcome(self) -> Outcome:
        (message,) = self.messages
        return Outcome.from_dict(message)

    @property
    def ready(self) -> Ready:
        (message,) = self.messages
        return Ready.from_dict(message)


@dataclass
class Kernel:
    """A shell that runs cells as a front end would."""

    shell: InteractiveShell
    session: Session = field(init=False)

    def __post_init__(self) -> None:
        self.session = load(self.shell, bind_names=True)

    @property
    def names(self) -> dict[str, Any]:
        names: dict[str, Any] = self.shell.user_ns
        return names

    def run(self, source: str, *, silent: bool = False) -> Ran:
        out, err, displays = io.StringIO(), io.StringIO(), CapturingDisplayPublisher()  # type: ignore[no-untyped-call]
        before, self.shell.display_pub = self.shell.display_pub, displays
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                result = self.shell.run_cell(  # type: ignore[no-untyped-call]
                    source, store_history=not silent, silent=silent
                )
        finally:
            self.shell.display_pub = before
        payloads = self.shell.payload_manager
        assert payloads is not None
        messages = [json.loads(p["json"]) for p in payloads.read_payload() if p["source"] == SOURCE]
        payloads.clear_payload()
        error = result.error_before_exec or result.error_in_exec
        shown = [o["data"] for o in displays.outputs]
        return Ran(result.result, error, out.getvalue(), err.getvalue(), shown, messages)

    def begin(self, briefing: Briefing) -> Ran:
        return self.run(f"get_ipython().pauseflow.begin({briefing.to_json()!r})", silent=True)


@contextlib.contextmanager
def running_kernel(**options: Any) -> Iterator[KernelManager]:
    """Start an ipykernel, as a front end does, and end it."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(extra_arguments=["--HistoryManager.enabled=False"], **options)
    yield manager
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()


@pytest.fixture
def client(process: KernelManager) -> Iterator[BlockingKernelClient]:
    """A client of the kernel that the file's own fixture `process` starts."""
    client = process.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield client
    client.stop_channels()


@pytest.fixture
def new_kernel(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Kernel]:
    # A shell makes its namespace the module `__main__`.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "NoColor" if version_info < (9,) else "nocolor"
    return lambda: Kernel(new_shell(config))


@pytest.fixture
def kernel(new_kernel: Callable[[], Kernel]) -> Kernel:
    """A kernel whose cells are run by hand."""
    return new_kernel()


def links(step: str, ordinal: int = 0) -> Links:
    base = "http://127.0.0.1:7287/pauseflow"
    names = {"resume_url": "resume", "cancel_url": "cancel", "approval_url": "approve"}
    return {name: f"{base}/{action}/{step}-{ordinal}-token" for name, action in names.items()}


def step_briefing(step: str, **values: Any) -> StepBriefing:
    values.setdefault("links", [links(step, n) for n in range(5)])
    return StepBriefing(**values)


@pytest.fixture
def briefing(tmp_path: Path) -> Callable[..., Briefing]:
    """Make a briefing in which the steps a, b and c have links."""

    def make(**values: Any) -> Briefing:
        values.setdefault("steps", {name: step_briefing(name) for name in "abc"})
        fixed = {"execution": "k3v9", "notebook": "n.ipynb", "started_at": "2026-11-20T08:00:00+00:00", "segment": 0}
        return Briefing(**{**fixed, "snapshots": str(tmp_path / "snapshots"), **values})

    return make


@pytest.fixture
def headless(kernel: Kernel, briefing: Callable[..., Briefing]) -> Callable[..., Kernel]:
    """A kernel that has been given a briefing with these values."""

    def begin(**values: Any) -> Kernel:
        assert kernel.begin(briefing(**values)).ready.failure is None
        return kernel

    return begin
