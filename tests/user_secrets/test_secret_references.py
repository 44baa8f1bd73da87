"""Names of secrets in parameters and in cells, and parameters that hold more than a name."""

from pathlib import Path
from typing import Any

import pytest
from nbformat import v4, write

from pauseflow_nb.errors import InvalidParameter, InvalidValue
from pauseflow_nb.kernel import secret
from pauseflow_nb.kernel.secret import MASK, fetch_secret
from pauseflow_nb.launching import RunOptions, plan
from pauseflow_nb.user_secrets.references import find_names_in_cells, list_references

VALUE = 's3cr3t/"tåken"+7f3a91c0de55'


@pytest.fixture(autouse=True)
def _no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program has no session; the tests of one may have left theirs."""
    monkeypatch.setattr(secret, "_session", None)


@pytest.fixture
def notebook(tmp_path: Path) -> str:
    cells = [v4.new_code_cell("token, more = '', None", metadata={"tags": ["parameters"]}), v4.new_code_cell("token")]
    write(v4.new_notebook(cells=cells), tmp_path / "notebook.ipynb")
    return str(tmp_path / "notebook.ipynb")


def run_with(notebook: str, **parameters: Any) -> Any:
    return plan(notebook, None, parameters, RunOptions())


@pytest.mark.parametrize(
    ("source", "needed", "possible"),
    [
        ("key = flow.secret('A')", {"A"}, set()),
        ("%%step a\nuse(flow.secret('A'), pd.flow.secret(name='B'))", {"A", "B"}, set()),
        ("with open(x) as f:\n    f.write(flow.secret('A'))", {"A"}, set()),
        ("%%time\n!ls\nawait use(flow.secret('A'))", {"A"}, set()),
        ("if x:\n    flow.secret('A')\nflow.secret('B')", {"B"}, {"A"}),
        ("def f(): return flow.secret('A')", set(), {"A"}),
        ("%%step a\ndef handler(pd):\n    return pd.flow.secret('A')", {"A"}, set()),
        ("try:\n    flow.secret('A')\nexcept LookupError: pass", set(), {"A"}),
        ("flow.secret(name)\nother.secret('A')\n# flow.secret('B')\n'flow.secret(\"C\")'", set(), set()),
        ("%%bash\nflow.secret('A')", set(), set()),
        ("this is no Python: flow.secret('A')", set(), set()),
    ],
)
def test_names_are_found_in_cells_without_running_them(source: str, needed: set[str], possible: set[str]) -> None:
    found = find_names_in_cells([(0, source)])

    assert set(found.needed) == needed
    assert found.possible == possible


def test_references_are_found_at_any_depth_and_other_texts_are_none() -> None:
    value = {"a": ["secret:A", {"b": "secret:B.c-d"}], "c": "secret: a word", "d": "a secret:X", "secret:K": "secret:"}
    assert sorted(list_references(value)) == ["A", "B.c-d"]


@pytest.mark.parametrize("text", ["secret:../a", "secret:a/b", "secret:1", "secret:é"])
def test_a_reference_that_can_name_nothing_is_refused_when_a_run_is_planned(notebook: str, text: str) -> None:
    with pytest.raises(InvalidParameter, match="after `secret:` there must be the name of a secret"):
        run_with(notebook, token=text)


def test_the_stored_notebook_asks_for_the_secret_by_name(notebook: str) -> None:
    planned = run_with(notebook, token="secret:API", more={"a": ["secret:B", "a 'secret:C'", 'say "secret:D"']})
    stored = planned.document.decode()

    assert planned.inputs["token"] == "secret:API"
    assert 'flow.secret(\\"API\\")' in stored
    assert 'flow.secret(\\"B\\")' in stored
    assert 'flow.secret(\\"C\\")' not in stored
    assert 'flow.secret(\\"D\\")' not in stored


def test_a_program_that_passes_a_secret_passes_its_name(notebook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAUSEFLOW_SECRET_API", VALUE)
    planned = run_with(notebook, token=fetch_secret("API"), more=[{"key": fetch_secret("API")}, 1.5])

    assert planned.inputs == {"token": "secret:API", "more": [{"key": "secret:API"}, 1.5]}
    assert "7f3a91c0de55" not in planned.document.decode()
    with pytest.raises(InvalidValue, match=r"pass `flow.secret\(…\)` itself") as raised:
        run_with(notebook, more=[f"Bearer {fetch_secret('API')}"])
    assert "7f3a91c0de55" not in str(raised.value)


def test_parameters_that_hold_themselves_are_still_refused_in_words(
    notebook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAUSEFLOW_SECRET_API", VALUE)
    fetch_secret("API")
    assert MASK
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidParameter):
        run_with(notebook, more=endless)


@pytest.mark.filterwarnings("ignore:Passing unrecognized arguments:DeprecationWarning")
def test_a_notebook_in_another_language_refuses_a_reference(notebook: str) -> None:
    pytest.importorskip("bash_kernel", reason="needs `pip install bash_kernel` and its kernelspec")
    with pytest.raises(InvalidParameter, match="only a notebook in Python can take a secret"):
        plan(notebook, None, {"token": "secret:API"}, RunOptions(kernel="bash"))
