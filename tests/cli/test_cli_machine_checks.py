"""`pauseflow doctor` looks at what is installed beside it."""

from pathlib import Path

import pytest

from pauseflow_nb.cli.doctor_checks import check_machine
from pauseflow_nb.settings import Settings


def test_an_old_ipywidgets_is_named_with_the_command_that_replaces_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "ipywidgets-7.8.5.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: ipywidgets\nVersion: 7.8.5\n")
    monkeypatch.syspath_prepend(tmp_path)
    (found,) = [each for each in check_machine(Settings.load()) if each.name == "widgets"]

    assert (found.status, found.text) == ("note", "7.8.5 is too old for buttons by hand: pip install -U ipywidgets")
