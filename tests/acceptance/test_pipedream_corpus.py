"""Workflows of Pipedream are imported, run headless to their end, and export what they export on Pipedream."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from acceptance.pipedream_corpus import CORPUS, EXPECTED, Api, pack_export, serve_api
from acceptance.road import Road, open_road
from acceptance.web import send
from roads.mail import Mailbox, mail_server

from pauseflow_nb.launching import RunOptions, plan, start_attached
from pauseflow_nb.pipedream.make_notebook import Made
from pauseflow_nb.pipedream.write_project import import_workflows
from pauseflow_nb.runner.kernels.source import Supply
from pauseflow_nb.settings import Settings

pytestmark = [pytest.mark.acceptance, pytest.mark.filterwarnings("ignore::DeprecationWarning")]  # aiosmtpd


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Made]]:
    """Every workflow of the corpus by its name, with its notebook."""
    folder = tmp_path_factory.mktemp("imported")
    sources = [CORPUS / "github-sync", *sorted((CORPUS / "rest").glob("*.json")), pack_export(folder / "export.zip")]
    made: dict[str, tuple[Path, Made]] = {}
    for number, source in enumerate(sources):
        report = import_workflows(source, folder / f"project-{number}")
        made |= {each.workflow.name: (report.folder / each.path, each) for each in report.made}
    return made


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with serve_api() as served:
        yield served


@pytest.fixture(scope="module")
def box() -> Iterator[Mailbox]:
    with mail_server() as box:
        yield box


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory, shared_supply: Supply, box: Mailbox) -> Iterator[Road]:
    folder = tmp_path_factory.mktemp("corpus")
    settings = Settings.load(flags={"data_dir": folder / "store"}, environment={}).model_copy(update=box.settings)
    with open_road(settings, folder, shared_supply) as road:
        yield road


def fill_in(value: Any, url: str) -> Any:
    return json.loads(json.dumps(value).replace("$SERVICE", url))


def write_by_hand(path: Path, fill: dict[str, str]) -> Path:
    """Do what the import leaves to hands."""
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells:
        for step, source in fill.items():
            if cell.cell_type == "code" and cell.source.startswith(f"%%step {step}\n"):
                assert "raise NotImplementedError" in cell.source
                cell.source = f"%%step {step}\n{source}"
    nbformat.write(notebook, path)
    return path


def run(road: Road, path: Path, case: dict[str, Any], url: str) -> dict[str, Any]:
    options = RunOptions(cwd=str(path.parent))
    planned = plan(str(path), str(road.folder / f"{path.stem}-out.ipynb"), fill_in(case["event"], url), options)
    answers = case.get("answers", [])
    view = road.ride(start_attached(road.queue, planned), until_pause=bool(answers))
    for number, answer in enumerate(answers, start=1):
        (waits,) = view["suspended"]
        action, body = ("cancel", None) if answer == "cancel" else ("resume", answer)
        assert send(waits[f"{action}_url"], body)[0] == 200
        view = road.view(view) if action == "cancel" else road.ride(view["id"], until_pause=number < len(answers))
    return view


def test_the_corpus_holds_what_is_expected_of_it(imported: dict[str, tuple[Path, Made]]) -> None:
    assert imported.keys() == EXPECTED.keys()
    assert len(EXPECTED) >= 30


#: A kernel and often two of Node.js each: the rest belong to the slow tests.
QUICK = {
    "Greet in Python", "Approve in Node", "Account in Node", "Filter that ends", "Templates in props", "Two ways",
    "Respond in Node",
}  # fmt: skip


@pytest.mark.every(2)
@pytest.mark.parametrize(
    "name", [each if each in QUICK else pytest.param(each, marks=pytest.mark.slow) for each in EXPECTED]
)
def test_a_workflow_exports_what_it_does_on_pipedream(
    imported: dict[str, tuple[Path, Made]],
    road: Road,
    api: Api,
    box: Mailbox,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = EXPECTED[name]
    path, made = imported[name]
    for secret, value in case.get("secrets", {}).items():
        assert secret in made.secrets
        monkeypatch.setenv(f"PAUSEFLOW_SECRET_{secret}", value)
    api.requests.clear()
    api.authorizations.clear()
    box.mails.clear()
    view = run(road, write_by_hand(path, case.get("fill", {})), case, api.url)

    assert view["state"] == case.get("state", "completed"), view["error"]
    for step, exports in case["exports"].items():
        seen = view["steps"][step]["exports"]
        assert {key: seen.get(key) for key in exports} == fill_in(exports, api.url), step
    for step in case.get("absent", []):
        assert view["steps"].get(step, {"exports": {}})["exports"] == {}
    assert (view["reason"] or {}).get("kind") == case.get("reason", (view["reason"] or {}).get("kind"))
    assert case.get("error", "") in str(view["error"])
    assert [each for each in sorted(api.requests) if each in case.get("requests", [])] == case.get("requests", [])
    assert api.authorizations == case.get("authorizations", api.authorizations)
    assert [[mail["subject"], box.texts(n).strip()] for n, mail in enumerate(box.mails)] == case.get("mails", [])
    report = json.dumps([made.to_do, made.pip, [line.command for line in made.triggers]], ensure_ascii=False)
    for part in (*case.get("hands", []), *case.get("pip", [])):
        assert part in report
    for part in case.get("commands", []):
        assert any(part in (line.command or "") for line in made.triggers)
    written = path.read_text(encoding="utf-8") + json.dumps(view)
    assert not any(value in written for value in case.get("hidden", []))
