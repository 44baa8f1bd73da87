"""Schemathesis makes requests from `openapi.yaml`, good and bad ones; every answer must be one that it describes."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, assume
from hypothesis import settings as effort
from schemathesis.specs.openapi.checks import missing_required_header, positive_data_acceptance

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.settings import Settings

if TYPE_CHECKING:
    from server.conftest import Stage

API = schemathesis.openapi.from_dict(
    yaml.safe_load(files("pauseflow_nb.server.api").joinpath("openapi.yaml").read_text("utf-8"))
)
TOKEN = "letmein"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Queue]]:
    """The address of `pauseflow serve`, and its store."""
    folder = tmp_path_factory.mktemp("served")
    process = subprocess.Popen(
        [sys.executable, "-m", "pauseflow_nb", "serve", "--port", "0", "--no-worker"],
        env={**os.environ, "PAUSEFLOW_DATA_DIR": str(folder / "data"), "JUPYTER_TOKEN": TOKEN},
        cwd=_with_notebook(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    found = re.search(r"http://\S+", process.stdout.readline())
    assert found is not None
    queue = Queue.open(Settings.load(flags={"data_dir": folder / "data"}, environment={}))
    yield found[0].rstrip("/"), queue
    queue.close()
    process.terminate()
    process.communicate()


def _with_notebook(folder: Path) -> Path:
    (folder / "work").mkdir()
    (folder / "work" / "in.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    return folder / "work"


@pytest.mark.every(4)
@pytest.mark.parametrize("is_known", [True, False], ids=["known", "unknown"])
@API.parametrize()
@effort(
    max_examples=6,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_described(
    case: Any, is_known: bool, served: tuple[str, Queue], make_stage: "Callable[[Queue], Stage]"
) -> None:
    base, queue = served
    # Other words in a query are let pass: Jupyter's front end adds a number, against caches.
    assume(set(case.query) <= {each.name for each in case.operation.query})
    if is_known and "execution" in case.path_parameters:
        case.path_parameters = {"execution": make_stage(queue).suspended()}

    # Jupyter says 403 to whoever is not signed in, where 401 is expected; and a path may be well written and lead
    # nowhere, or a kernel have a good name and not exist.
    case.call_and_validate(
        base_url=base,
        headers={"Authorization": f"token {TOKEN}"},
        excluded_checks=[missing_required_header, positive_data_acceptance],
    )
