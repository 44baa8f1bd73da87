"""`pauseflow doctor` finds what would not work, and says what to write instead."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
from acceptance.command import Pauseflow

pytestmark = pytest.mark.acceptance


def wrong(pauseflow: Pauseflow, *words: str, **environment: str) -> tuple[int, str]:
    """Exit code of the doctor, and all that it says is wrong."""
    ended = replace(pauseflow, environment={**pauseflow.environment, **environment})("doctor", *words, "--json")
    return ended.code, "\n".join(each["text"] for each in ended.execution["checks"] if each["status"] == "wrong")


def test_nothing_is_wrong_with_what_is_there_at_first(pauseflow: Pauseflow) -> None:
    assert wrong(pauseflow) == (0, "")


def test_a_notebook_that_does_not_exist_is_named(pauseflow: Pauseflow) -> None:
    ended = pauseflow("doctor", "nosuch.ipynb")

    assert (ended.code, ended.stdout) == (2, "")
    assert "no notebook at nosuch.ipynb: check the path and the working directory" in ended.stderr


def test_it_looks_at_all_that_an_execution_may_need(pauseflow: Pauseflow) -> None:
    checks: list[dict[str, Any]] = pauseflow("doctor", "--json").execution["checks"]

    assert [each["name"] for each in checks] == [
        *("database", "storage", "disk", "worker", "queues", "clocks", "versions", "server", "links"),
        *("kernels", "widgets", "server extension", "panel", "mail", "notify", "secrets"),
    ]


@pytest.mark.every(2)
@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("PAUSEFLOW_STORAGE", "s3x://b", "there is no storage s3x://: use a folder, or a URL"),
        ("PAUSEFLOW_STORAGE", "/dev/null/files", "/dev/null/files"),
        ("PAUSEFLOW_PROT", "1", "PAUSEFLOW_PROT is not a setting: did you mean PAUSEFLOW_PORT?"),
        ("PAUSEFLOW_ZZZZZZ", "1", "PAUSEFLOW_ZZZZZZ is not a setting"),
        ("PAUSEFLOW_PORT", "many", "port"),
        ("PAUSEFLOW_DB", "sqlite:////dev/null/x.db", "the store"),
        ("PAUSEFLOW_PUBLIC_URL", "https://nowhere.invalid", "public_url https://nowhere.invalid does not answer"),
        ("PAUSEFLOW_SMTP_HOST", "nowhere.invalid", "nowhere.invalid: "),
        ("PAUSEFLOW_NOTIFY", '{"team": "no such thing"}', "team"),
        ("PAUSEFLOW_QUOTA", "0", "pauseflow gc"),
    ],
)
def test_what_is_wrong_is_said_and_the_exit_code_is_1(
    pauseflow: Pauseflow, variable: str, value: str, sentence: str
) -> None:
    code, printed = wrong(pauseflow, **{variable: value})

    assert sentence in printed
    assert code == 1


def test_a_driver_that_is_missing_is_named(pauseflow: Pauseflow) -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(ImportError):
        __import__("adlfs")

    assert "run `pip install adlfs`" in wrong(pauseflow, PAUSEFLOW_STORAGE="abfs://b")[1]


@pytest.mark.parametrize("words", [["serve", "--port", "0"], ["worker"], ["run", "NOTEBOOK"]])
def test_every_command_that_needs_the_storage_says_what_to_install(pauseflow: Pauseflow, words: list[str]) -> None:
    path = pauseflow.folder / "n.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]), path)
    ended = replace(pauseflow, environment={**pauseflow.environment, "PAUSEFLOW_STORAGE": "gs://b"})(
        *(path if word == "NOTEBOOK" else word for word in words)
    )

    needed = "gs:// needs a package that is not installed: run `pip install gcsfs`"
    assert ended.stderr == f"pauseflow: the store gs://b cannot be used: {needed}\n"
    assert ended.code == 1


@pytest.mark.parametrize("place", ["beside", "data_dir", "notebook"])
def test_a_word_in_a_file_that_is_no_setting_is_named_once(pauseflow: Pauseflow, place: str) -> None:
    folder = {
        "beside": pauseflow.folder,
        "data_dir": Path(pauseflow.environment["PAUSEFLOW_DATA_DIR"]),
        "notebook": pauseflow.folder / "sub",
    }[place]
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "pauseflow.toml").write_text("prot = 3\nsmpt_host = 'x'")
    (folder / "n.ipynb").touch()
    code, printed = wrong(pauseflow, *([str(folder / "n.ipynb")] if place == "notebook" else []))

    assert code == 1
    assert printed.count("prot is not a setting: did you mean port?") == 1
    assert printed.count("smpt_host is not a setting: did you mean smtp_host?") == 1


@pytest.mark.parametrize("place", ["beside", "data_dir"])
def test_a_file_that_cannot_be_read_is_named_once(pauseflow: Pauseflow, place: str) -> None:
    folder = pauseflow.folder if place == "beside" else Path(pauseflow.environment["PAUSEFLOW_DATA_DIR"])
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "pauseflow.toml").write_text("port = ")
    code, printed = wrong(pauseflow)

    assert code == 1
    assert printed.count("pauseflow.toml cannot be read: ") == printed.count("pauseflow.toml") == 1


def test_a_variable_that_is_read_and_is_no_setting_is_left_alone(pauseflow: Pauseflow) -> None:
    assert wrong(pauseflow, PAUSEFLOW_SNAPSHOTS="plain", PAUSEFLOW_SECRET_KEY="x") == (0, "")


def test_people_read_it_in_lines(pauseflow: Pauseflow) -> None:
    ended = replace(pauseflow, environment={**pauseflow.environment, "PAUSEFLOW_PROT": "1"})("doctor")

    assert "environment  " in ended.stdout
    assert "WRONG" in ended.stdout
    assert "did you mean PAUSEFLOW_PORT?" in ended.stderr
