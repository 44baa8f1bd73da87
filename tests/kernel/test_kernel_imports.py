"""The kernel side costs a notebook little."""

import json
import subprocess
import sys

import pytest

#: What a kernel must not pay for, each in some other room of the house.
ABSENT = [
    "alembic",
    "cloudpickle",
    "dbos",
    "fsspec",
    "ipywidgets",
    "itsdangerous",
    "jupyter_client",
    "jupyter_server",
    "nbclient",
    "nbformat",
    "papermill",
    "pydantic",
    "sqlalchemy",
    "tornado.web",
    "xxhash",
]

PROGRAM = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell.instance(config=config)
before = set(sys.modules)
{cells}
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded(*cells: str) -> list[str]:
    program = PROGRAM.format(
        cells="\n".join(f"assert shell.run_cell({cell!r}, store_history=True).success" for cell in cells)
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names: list[str] = json.loads(ran.stdout.splitlines()[-1])
    return names


@pytest.mark.parametrize(
    "cells",
    [
        ["%load_ext pauseflow_nb"],
        ["from pauseflow_nb import flow, steps", "%%step a\nflow.export('x', 1)", "steps.a.x", "%pauseflow"],
    ],
)
def test_a_notebook_that_uses_us_loads_nothing_heavy(cells: list[str]) -> None:
    names = loaded(*cells)

    assert "pauseflow_nb.kernel.ipython_extension" in names
    assert [name for name in names if any(name == a or name.startswith(f"{a}.") for a in ABSENT)] == []
