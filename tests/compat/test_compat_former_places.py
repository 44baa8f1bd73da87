"""Imports that were written before the modules moved go on working, and say what to write instead."""

import importlib
import sys

import pytest


@pytest.mark.parametrize(
    ("name", "public"),
    [("prefect", "suspend_flow_run"), ("papermill", "PauseflowEngine"), ("scheduler", "PauseflowExecutionManager")],
)
def test_a_module_that_moved_can_still_be_imported_and_warns(name: str, public: str) -> None:
    if name == "scheduler":
        pytest.importorskip("jupyter_scheduler")
    sys.modules.pop(f"pauseflow_nb.{name}", None)

    with pytest.warns(DeprecationWarning, match=rf"import pauseflow_nb\.compat\.{name} instead"):
        former = importlib.import_module(f"pauseflow_nb.{name}")

    assert getattr(former, public) is getattr(importlib.import_module(f"pauseflow_nb.compat.{name}"), public)
