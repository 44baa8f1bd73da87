"""A fresh store, and a service to talk to, for each test of the whole road."""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import shells
from acceptance.command import Pauseflow
from acceptance.forked import Nursery
from acceptance.road import Road, open_road
from acceptance.service import Service, serve
from acceptance.shell import Shell
from traitlets.config import Config

from pauseflow_nb.runner.kernels.source import Supply
from pauseflow_nb.settings import Settings


@pytest.fixture
def service() -> Iterator[Service]:
    state = Service()
    with serve(state):
        yield state


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery | None]:
    """Where most commands are forked; None where that is not known to be safe."""
    if sys.platform != "linux":
        yield None
        return
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def pauseflow(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pauseflow]:
    """The command with a fresh store; whatever still runs at the end is killed."""
    is_new = any(request.node.get_closest_marker(name) for name in ("new_process", "slow"))
    nursery = None if is_new else request.getfixturevalue("nursery")
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("PAUSEFLOW_", "JUPYTERHUB_"))}
    environment = mine | {
        "PAUSEFLOW_DATA_DIR": str(tmp_path / "store"),
        "PAUSEFLOW_PORT": str(_free_port()),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }
    command = Pauseflow(tmp_path, environment, nursery)
    yield command
    for running in command.running:
        running.kill()
        running.end()


@pytest.fixture
def new_shell(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Shell]:
    # A shell makes its namespace the module `__main__`.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    config = Config()
    config.HistoryManager.enabled = False
    return lambda: Shell(shells.new_shell(config))


@pytest.fixture
def road(sqlite_settings: Settings, tmp_path: Path, shared_supply: Supply) -> Iterator[Road]:
    """Notebooks with real kernels in this process, whose links are served."""
    with open_road(sqlite_settings, tmp_path, shared_supply) as road:
        yield road
