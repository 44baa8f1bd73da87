"""`run_notebook` and `get_execution`, from programs of their own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from acceptance.command import Pauseflow
from acceptance.test_command_line import ASK, IMPORT, notebook

from pauseflow_nb import run_notebook
from pauseflow_nb.errors import InvalidParameter, InvalidValue
from pauseflow_nb.settings import Settings

pytestmark = pytest.mark.acceptance


def run_python(pauseflow: Pauseflow, program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=pauseflow.folder,
        env=pauseflow.environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    ).stdout


@pytest.fixture
def asks(pauseflow: Pauseflow) -> Path:
    return notebook(pauseflow.folder, IMPORT, ASK, "%%step after\nsteps.ask.data")


@pytest.mark.thorough
def test_without_waiting_the_execution_can_be_answered_and_waited_for(pauseflow: Pauseflow, asks: Path) -> None:
    printed = run_python(
        pauseflow,
        "import time\n"
        "from pauseflow_nb import run_notebook\n"
        f"execution = run_notebook({str(asks)!r}, 'out.ipynb', wait=False)\n"
        "while execution.state != 'suspended': time.sleep(0.05)\n"
        "(waits,) = execution.suspended\n"
        "print(waits['step'], waits['title'])\n"
        "execution.resume(data={'n': 1})\n"
        "execution.wait(60)\n"
        "print(execution.state, execution.steps['after']['exports']['$return_value'], execution.usage['wakeups'])\n"
        "print([event['what'] for event in execution.events()][-1])\n",
    )

    assert printed.splitlines() == ["ask Go on?", "completed {'n': 1} 1", "completed"]


@pytest.mark.thorough
def test_an_execution_is_found_and_goes_on_in_another_process(pauseflow: Pauseflow, asks: Path) -> None:
    first = run_python(
        pauseflow,
        f"from pauseflow_nb import run_notebook\nprint(run_notebook({str(asks)!r}, until_pause=True).id)\n",
    )
    second = run_python(
        pauseflow,
        "from pauseflow_nb import get_execution\n"
        f"execution = get_execution({first.strip()!r})\n"
        "execution.resume('ask', data=[1, 2])\n"
        "execution.wait()\n"
        "print(execution.state, execution.to_dict()['steps']['after']['exports']['$return_value'])\n",
    )

    assert second == "completed [1, 2]\n"


@pytest.mark.thorough
def test_a_failed_notebook_is_no_exception_and_can_be_retried(pauseflow: Pauseflow) -> None:
    source = notebook(
        pauseflow.folder,
        IMPORT,
        "%%step once\nimport pathlib\npathlib.Path('log').open('a').write('once\\n')",
        "%%step flaky\nif not pathlib.Path('mended').exists():\n    raise RuntimeError('not yet')\n'fine'",
    )
    printed = run_python(
        pauseflow,
        "import pathlib\n"
        "from pauseflow_nb import run_notebook\n"
        f"execution = run_notebook({str(source)!r})\n"
        "print(execution.state, execution.reason['kind'], execution.to_dict()['error'])\n"
        "pathlib.Path('mended').touch()\n"
        "execution.retry()\n"
        "execution.wait()\n"
        "print(execution.state, execution.steps['flaky']['exports']['$return_value'])\n",
    )

    assert "failed error" in printed
    assert "'step': 'flaky'" in printed
    assert printed.splitlines()[-1] == "completed fine"
    assert (pauseflow.folder / "log").read_text() == "once\n"


def test_an_unknown_execution_is_an_error(pauseflow: Pauseflow) -> None:
    pauseflow.create_store()
    printed = run_python(
        pauseflow,
        "from pauseflow_nb import get_execution\nfrom pauseflow_nb.errors import UnknownExecution\n"
        "try:\n    get_execution('nope')\nexcept UnknownExecution as problem:\n    print(problem)\n",
    )

    assert "nope" in printed


@pytest.mark.parametrize("parameters", [{"a": object()}, {"not ident": 1}, {"class": 1}, [1]])
def test_parameters_that_no_notebook_can_hold_start_nothing(asks: Path, tmp_path: Path, parameters: Any) -> None:
    settings = Settings.load(flags={"data_dir": str(tmp_path / "other store")}, environment={})

    with pytest.raises((InvalidParameter, InvalidValue), match=r"parameter"):
        run_notebook(asks, parameters=parameters, settings=settings)

    assert not (tmp_path / "other store").exists()
