"""Imports go down the floors of the house, and a process loads only what it needs."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from textwrap import dedent

import pytest

PACKAGE = Path(__file__).parent.parent / "pauseflow_nb"
BOTTOM = ("errors", "durations", "json_values", "cells", "protocol")


@cache
def in_a_bare_process(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def modules_added(code: str, *, to: str = "") -> set[str]:
    """Find which modules a process imports for this code, beyond those that it has anyway."""
    program = f"import sys\n{to}\nbefore = set(sys.modules)\n{code}\nprint(*(set(sys.modules) - before))"
    return set(in_a_bare_process(program).split("\n")[-2].split())


def loaded_by(code: str, *, to: str = "") -> set[str]:
    return {name.partition(".")[0] for name in modules_added(code, to=to)}


@pytest.mark.slow
def test_the_import_rules_hold() -> None:
    """The rules stand in pyproject.toml, under tool.importlinter; `make lint` asks the same."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, timeout=120, check=False)

    assert result.returncode == 0, result.stdout + result.stderr


def imports_of_the_package() -> dict[str, set[str]]:
    """Find which of our modules each one imports, inside functions and for type checkers too."""
    files = {module_name(file): file for file in PACKAGE.rglob("*.py")}
    imports: dict[str, set[str]] = {module: set() for module in files}
    for module, file in files.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imports[module] |= {alias.name for alias in node.names} & files.keys()
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file} imports relatively"
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                imports[module] |= names & files.keys() or {str(node.module)} & files.keys()
    return imports


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def test_no_modules_import_each_other_in_a_circle() -> None:
    imports = imports_of_the_package()

    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(f"these import each other: {' -> '.join(error.args[1])}")
    assert len(imports) > 100


def test_the_bottom_row_needs_the_standard_library_only() -> None:
    ours = loaded_by("\n".join(f"import pauseflow_nb.{name}" for name in BOTTOM))

    assert {module for module in ours if module not in sys.stdlib_module_names} == {"pauseflow_nb"}


@pytest.mark.parametrize(
    "code",
    ["import pauseflow_nb", "from pauseflow_nb import flow, steps", "import pauseflow_nb.kernel.ipython_extension"],
)
def test_a_kernel_loads_nothing_of_server_store_and_engine(code: str) -> None:
    """Every new kernel pays for what it imports, after every pause."""
    ours = loaded_by(code, to="import IPython")

    unwanted = {
        "alembic", "dbos", "ipywidgets", "jsonschema", "jupyter_server", "nbclient", "nbconvert", "nbformat",
        "papermill", "pydantic", "sqlalchemy", "tornado", "zmq",
    }  # fmt: skip
    assert ours & unwanted == set()


@pytest.mark.every(2)
@pytest.mark.parametrize(
    ("code", "to", "ours", "others"),
    [
        ("import pauseflow_nb", "", 1, 0),
        ("from pauseflow_nb import flow, steps", "import ipykernel.ipkernel", 42, 0),
        ("import pauseflow_nb.kernel.ipython_extension", "import ipykernel.ipkernel", 60, 0),
        ("import pauseflow_nb.cli", "import click, pydantic", 36, 45),
        ("import pauseflow_nb.server.extension", "import jupyter_server.serverapp", 155, 220),
    ],
)
def test_an_import_stays_within_its_budget(code: str, to: str, ours: int, others: int) -> None:
    """Counted in modules outside of the standard library, because seconds depend on the machine; each new kernel pays after each pause."""
    added = modules_added(code, to=to)
    of_us = {name for name in added if name.partition(".")[0] == "pauseflow_nb"}

    of_others = {name for name in added - of_us if name.partition(".")[0] not in sys.stdlib_module_names}

    assert len(of_us) <= ours
    assert len(of_others) <= others, sorted(of_others)


def test_the_command_line_starts_without_engine_and_server() -> None:
    """`pauseflow --help` should not wait for DBOS, tornado and papermill."""
    ours = loaded_by("import pauseflow_nb.cli")

    assert (
        ours & {"alembic", "dbos", "jupyter_server", "nbconvert", "papermill", "sqlalchemy", "tornado", "zmq"} == set()
    )


def test_a_client_of_the_store_loads_neither_dbos_nor_tornado() -> None:
    """A process that only looks, or that runs its own segments, has no use for the queue of jobs."""
    ours = loaded_by("import pauseflow_nb.engine.queue, pauseflow_nb.engine.attached")

    assert ours & {"dbos", "jupyter_server"} == set()


@pytest.mark.every(3)
@pytest.mark.parametrize(
    "code",
    [
        "import pauseflow_nb.engine.worker",
        "import pauseflow_nb.engine.attached",
        "from pauseflow_nb.runner.notebook import freeze",
    ],
)
def test_jsonschema_builds_no_parsers_that_nobody_asks_for(code: str) -> None:
    """They would take longer than all else that these import."""
    assert loaded_by(code) & {"jsonschema", "lark", "rfc3987_syntax"} == {"jsonschema"}


def test_checking_an_answer_loads_little() -> None:
    """The processes that check answers should start quickly."""
    ours = loaded_by(
        "from pauseflow_nb.forms.schema import find_errors; find_errors({'pattern': 'a', 'minLength': 3}, 'b')"
    )

    unwanted = {"jsonschema", "nbformat", "pydantic", "sqlalchemy", "tornado", "IPython"}
    assert ours & {"jsonschema_rs", "pydantic_core", *unwanted} == {"jsonschema_rs", "pydantic_core"}


@pytest.mark.every(2)
@pytest.mark.parametrize(
    "imports",
    [
        "import pauseflow_nb.runner",
        "import pauseflow_nb.cli as c; c.main(['inspect', '--help'], standalone_mode=False)",
    ],
)
def test_jsonschema_knows_all_its_formats_when_asked(imports: str) -> None:
    code = f"""
        {imports}
        import pauseflow_nb.runner
        from jsonschema import FormatChecker
        print([FormatChecker(["iri"]).conforms(text, "iri") for text in ("https://例え.jp/a", "no iri")])
        import rfc3987_syntax
        print(rfc3987_syntax.is_valid_syntax_iri("https://例え.jp/a"))
    """

    assert in_a_bare_process(dedent(code)).split("\n")[-3:-1] == ["[True, False]", "True"]


def test_importing_us_configures_no_logging() -> None:
    code = "import logging, pauseflow_nb.execution, pauseflow_nb.engine.queue; print(logging.getLogger().handlers, logging.root.level)"

    assert in_a_bare_process(code).split() == ["[]", "30"]


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(file.relative_to(PACKAGE))
        for file in PACKAGE.rglob("*.py")
        if (text := file.read_text(encoding="utf-8").strip()) and not text.startswith(('"""', 'r"""'))
    ]

    assert silent == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty_words = {"utils", "util", "helpers", "manager", "base", "common", "misc"}

    assert [file for file in PACKAGE.rglob("*.py") if file.stem in empty_words] == []
