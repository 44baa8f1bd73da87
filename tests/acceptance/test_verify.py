"""`pauseflow verify`: an executed notebook is compared with the records of its decisions, also elsewhere."""

from pathlib import Path
from typing import Any

import pytest
from acceptance.command import Pauseflow

ASK = ("print('total 12')", "%%step ask\nflow.suspend(title='Publish?')", "print('published')")


@pytest.fixture
def decided(pauseflow: Pauseflow, notebook: Any) -> Path:
    out = pauseflow.folder / "out.ipynb"
    waits = pauseflow("run", notebook(*ASK), out, "--until-pause", "--json")
    execution = waits.execution
    shown = execution["suspended"][0]["shown"]
    assert pauseflow("resume", execution["id"], "--shown", "0" * 64).code == 1
    assert pauseflow("resume", execution["id"], "--shown", shown, "--wait").code == 0
    return out


def test_what_was_decided_is_verified_with_the_store_and_with_a_key_file(pauseflow: Pauseflow, decided: Path) -> None:
    key = pauseflow.folder / "keys.pem"
    key.write_text(pauseflow("keys", "export").out, encoding="utf-8")

    for flags in ([], ["--store"], ["--key", key]):
        assert pauseflow("verify", decided, *flags).code == 0
    text = decided.read_text(encoding="utf-8")
    decided.write_text(text.replace("total 12", "total 21"), encoding="utf-8")
    changed = pauseflow("verify", decided, "--key", key, "--json")

    assert changed.code == 1
    assert changed.json["valid"] is False
    assert any("its source was changed" in problem for problem in changed.json["problems"])


def test_what_cannot_be_verified_is_refused_with_a_sentence(pauseflow: Pauseflow, decided: Path) -> None:
    empty = pauseflow.folder / "empty.pem"
    empty.write_text("no key", encoding="utf-8")

    assert "no notebook at" in pauseflow("verify", pauseflow.folder / "gone.ipynb").err
    assert "keys export" in pauseflow("verify", decided, "--key", empty).err
    assert pauseflow("verify", decided, "--key", empty, "--store").code == 2
