"""The docs name everything that is public, and lead nowhere that is not there."""

import importlib.util
import inspect
import pydoc
import re
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest

import pauseflow_nb
from pauseflow_nb.cells import StepOptions
from pauseflow_nb.cli import main
from pauseflow_nb.execution import Execution
from pauseflow_nb.kernel.flow import Flow
from pauseflow_nb.kernel.steps_view import Steps
from pauseflow_nb.settings import Settings

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("notebooks/*.md"), ROOT / "labextension" / "README.md"]
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def entries_in(section: str) -> list[tuple[str, dict[str, str]]]:
    """Read a list whose entries have named parts: `- entry`, and below it `  - part: text`."""
    entries = []
    for entry in re.findall(r"^- (.*?)(?=^- |^\S|\Z)", section, re.MULTILINE | re.DOTALL):
        lead, *parts = re.split(r"\n  - ", entry)
        texts = (" ".join(part.split()).partition(": ") for part in parts)
        entries.append((" ".join(lead.split()).strip("*"), {name: text for name, _, text in texts}))
    return entries


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)

    assert broken == []


@pytest.mark.parametrize("name", [name for name in vars(Flow) if not name.startswith("_")])
def test_every_call_of_flow_is_explained(name: str) -> None:
    assert f"flow.{name}" in text_of("docs/reference/flow.md")


@pytest.mark.parametrize("name", StepOptions.__dataclass_fields__)
def test_every_option_of_a_step_is_explained(name: str) -> None:
    assert f"`--{name.replace('_', '-')} " in text_of("docs/steps.md")


@pytest.mark.parametrize("name", pauseflow_nb.__all__)
def test_every_public_name_is_mentioned(name: str) -> None:
    if name == "load_ipython_extension":
        name = "%load_ext pauseflow_nb"
    assert name in text_of("docs/steps.md") + text_of("docs/running.md")


def test_the_reference_of_python_has_every_public_name_with_its_docstring() -> None:
    page = text_of("docs/reference/python.md")
    paths = re.findall(r"^::: (\S+)$", page, re.MULTILINE)
    shown = [pydoc.locate(path) for path in paths]
    named = {"flow": Flow, "steps": Steps}
    wanted = [named.get(name, getattr(pauseflow_nb, name)) for name in pauseflow_nb.__all__]
    members = [
        member
        for each in shown
        if isinstance(each, type)
        for name, member in vars(each).items()
        if name[0] != "_" and callable(member)
    ]

    assert [path for path, found in zip(paths, shown, strict=True) if found is None] == []
    assert [each for each in wanted if each not in shown and f"`%load_ext {each.__module__}`" not in page] == []
    assert [each for each in [*shown, *members] if not inspect.getdoc(each)] == []


@pytest.mark.parametrize("name", [name for name in vars(Execution) if not name.startswith("_")] + ["id"])
def test_everything_that_an_execution_has_is_named(name: str) -> None:
    assert re.search(rf"`{name}(?:\(\))?`", text_of("docs/running.md"))


@pytest.mark.parametrize("name", main.commands)
def test_every_command_is_explained(name: str) -> None:
    assert f"`pauseflow {name}" in text_of("docs/running.md")


def test_no_command_is_promised_that_is_not_there() -> None:
    documented = set(
        re.findall(r"`pauseflow ([a-z][a-z-]*)", "".join(page.read_text(encoding="utf-8") for page in PAGES))
    )

    assert documented - set(main.commands) == set()


@pytest.mark.parametrize("command", main.commands.values(), ids=lambda command: str(command.name))
def test_every_command_and_flag_says_what_it_does(command: click.Command) -> None:
    """Names such as `--start-timeout SECONDS` speak for themselves."""
    assert command.help
    silent = [
        parameter.name
        for parameter in command.params
        if isinstance(parameter, click.Option)
        and not parameter.help
        and not parameter.name.endswith(("timeout", "bar"))
    ]
    assert [name for name in silent if name not in {"limit", "offset"}] == []


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_explained_with_its_variable(name: str) -> None:
    assert f"- `{name}`\n  - variable: `PAUSEFLOW_{name.upper()}`\n" in text_of("docs/settings.md")


def test_every_example_notebook_is_listed() -> None:
    index = text_of("notebooks/README.md")

    assert [path.name for path in ROOT.glob("notebooks/*.ipynb") if f"({path.name})" not in index] == []


def names_of_tests(file: str) -> set[str]:
    return set(re.findall(r"def test_(\w+)\(", text_of(f"tests/{file}")))


def test_every_edge_names_tests_that_are_there() -> None:
    named = re.findall(r"`(\S+\.py)`: ((?:`\w+`(?:, )?)+)", text_of("docs/edges.md"))
    missing = [
        f"{file}: {name}"
        for file, names in named
        for name in re.findall(r"\w+", names)
        if name not in names_of_tests(file)
    ]

    assert len(named) > 50
    assert missing == []
    assert [lead for lead, parts in entries_in(text_of("docs/edges.md")) if ".py" not in parts["test"]] == []


def test_each_claim_of_the_readme_names_its_tests_or_sources() -> None:
    readme, page = text_of("README.md"), text_of("docs/claims.md")
    promises = re.findall(r"^\* \*\*(.+?)\*\*", readme, re.MULTILINE)
    rows = re.findall(
        r"^\| \**([^|*]+?)\** \|.*\|$", readme.partition("## Compared")[2].partition("\n## ")[0], re.MULTILINE
    )
    entries = dict(entries_in(page))
    named = re.findall(r"`(\S+\.py)`: ((?:`\w+`(?:, )?)+)", " ".join(page.split()))

    assert len(promises) >= 5
    assert [name for name in [*promises, *rows] if name != "---" and name not in entries] == []
    assert [name for name in promises if ".py" not in entries[name]["test"]] == []
    assert [
        f"{file}: {name}"
        for file, names in named
        for name in re.findall(r"\w+", names)
        if name not in names_of_tests(file)
    ] == []


@pytest.mark.parametrize("results", ["headless", "snapshot"])
def test_the_measured_figures_of_the_readme_are_those_of_the_results(results: str) -> None:
    page = f"benchmarks/results/{results}.md"
    measured = text_of("README.md").partition("Measured side by side")[2].partition("\n## ")[0]
    (line,) = (line for line in measured.split("\n- ") if page in line)
    figures = re.findall(r"(\d[\d.]*) s\b", line)
    found = [float(figure) for figure in re.findall(r"(?<=\| )\d+\.\d+", text_of(page))]

    assert len(figures) >= 3
    for figure in figures:
        digits = len(figure.partition(".")[2])
        assert float(figure) in {round(each, digits) for each in found}, figure


THREATS = [
    "forgery",
    "replay and race",
    "unasked act",
    "injection",
    "leak",
    "denial of service",
    "identity",
    "tampering",
]
ENTRY_POINTS = [
    "A link, by POST", "A link, by GET", "The page behind a link", "The URL of an HTTP trigger", "The REST API", "The command line", "An imported file",
    "The kernel",
    "Storage on a local disk", "Storage elsewhere", "Keys", "Mail and notifications", "Logs", "A proxy before it", "JupyterHub",
]  # fmt: skip


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_each_threat_at_each_entry_point_has_a_test_or_a_sentence_for_the_operator(entry_point: str) -> None:
    page = text_of("docs/threats.md")
    (section,) = re.findall(rf"^## {re.escape(entry_point)}$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    entries = entries_in(section)

    assert [threat for threat, _parts in entries] == THREATS
    for threat, parts in entries:
        assert parts.keys() in ({"defence", "tests"}, {"advice"}), threat
        named = re.findall(r"`(\S+\.py)`: ((?:`\w+`(?:, )?)+)", parts.get("tests", ""))
        missing = [
            f"{file}: {name}"
            for file, names in named
            for name in re.findall(r"\w+", names)
            if name not in names_of_tests(file)
        ]
        assert missing == [], threat
        assert bool(named) == ("tests" in parts), threat
        assert "tests" in parts or parts["advice"].endswith("."), threat


@pytest.mark.parametrize("peer", ["Pipedream", "Mastra", "Prefect"])
def test_what_a_peer_does_is_listed_with_its_test(peer: str) -> None:
    """Each row has a test, and each test a row."""
    page = text_of(f"docs/{peer.lower()}.md")
    columns = [parts["test"] for _, parts in entries_in(page)]
    there = names_of_tests(f"acceptance/test_{peer.lower()}.py")

    assert there - set(re.findall(r"`(\w+)`", page)) == set()
    assert {name for column in columns for name in re.findall(r"`(\w+)`", column)} - there == set()
    assert [column for column in columns if "`" not in column and "edges.md" not in column] == []


def test_the_table_of_threats_shows_what_the_lists_below_it_say() -> None:
    page = text_of("docs/threats.md")
    table = re.findall(r"^\| \[([^|]+)\]\(#\S+\) \| (.+) \|$", page.partition("| entry point |")[2], re.MULTILINE)
    shown = {way: [cell.strip() for cell in cells.split("|")] for way, cells in table}
    listed = {
        way: [
            "met" if "tests" in parts else "operator"
            for _, parts in entries_in(page.partition(f"## {way}\n")[2].partition("\n## ")[0])
        ]
        for way in ENTRY_POINTS
    }

    assert shown == listed


@pytest.fixture
def pages_of_the_site() -> Any:
    pytest.importorskip("mkdocs", reason="`make docs` installs it")
    spec = importlib.util.spec_from_file_location("pages_of_the_site", ROOT / "docs" / "site" / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_link_whose_text_is_a_file_name_has_the_title_of_its_page_on_the_site(pages_of_the_site: Any) -> None:
    config = importlib.import_module("mkdocs.config").load_config(str(ROOT / "mkdocs.yml"))
    files = importlib.import_module("mkdocs.structure.files").get_files(config)
    page = importlib.import_module("mkdocs.structure.pages").Page(None, files.get_file_from_path("lab.md"), config)
    written = "See [links.md](links.md#statuses), [the links](links.md) and [a.py](../a.py)."

    found = pages_of_the_site.on_page_markdown(written, page, config, files)

    assert found == "See [Links](links.md#statuses), [the links](links.md) and a.py."


def test_lists_and_the_blocks_in_them_are_indented_as_the_site_reads_them(pages_of_the_site: Any) -> None:
    written = "- a\n  b\n  - c\n- d\n\n1. e\n\n   ```sh\n   - f\n     g\n   ```\n\n2. h\n\ni\n\n    code\n"
    wanted = "- a\n    b\n    - c\n- d\n\n1. e\n\n    ```sh\n    - f\n      g\n    ```\n\n2. h\n\ni\n\n    code\n"

    assert pages_of_the_site.indent_lists(written) == wanted


def test_every_page_can_be_reached_from_the_list_of_pages_or_the_readme() -> None:
    documented = text_of("docs/pages.md") + text_of("docs/how-to/index.md") + text_of("README.md")

    assert [page.name for page in ROOT.glob("docs/[!r]*/*.md") if page.name not in documented] == []
    assert [page.name for page in ROOT.glob("docs/*.md") if page.name not in documented] == []


def test_every_word_of_the_makefile_is_explained() -> None:
    words = re.findall(r"^([a-z][a-z-]*):.* ## .+$", text_of("Makefile"), re.MULTILINE)

    assert {"demo", "test", "lint", "bench", "lab", "docs", "clean"} <= set(words)
    assert [word for word in words if word != "help" and f"`make {word}`" not in text_of("CONTRIBUTING.md")] == []


def test_the_version_is_the_same_everywhere() -> None:
    assert tomllib.loads(text_of("pyproject.toml"))["project"]["version"] == pauseflow_nb.__version__


def test_no_file_for_people_names_a_machine() -> None:
    """A path or a host of whoever wrote it helps nobody else."""
    found = [page.name for page in [*PAGES, ROOT / "Makefile", ROOT / "pyproject.toml"] if "/home/" in page.read_text()]

    assert found == []
