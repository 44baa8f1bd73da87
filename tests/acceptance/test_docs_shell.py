"""The shell blocks of the README and of the docs, run by bash as a reader would, each with a fresh store."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from acceptance.pipedream_corpus import CORPUS
from acceptance.web import send, wait_until
from docs_examples import PAGES, blocks, read_blocks

if TYPE_CHECKING:
    from acceptance.command import Pauseflow

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.acceptance

#: A block, by its page and its first words.
Key = tuple[str, str]
#: Blocks that a test here runs; the decorator fills it.
RUN: set[Key] = set()
#: Blocks that cannot run here as they are → what checks them instead.
ELSEWHERE: dict[Key, str] = {
    ("README.md", "pip install pauseflow-nb"): "tests/dist.sh installs the wheel",
    ("docs/tutorial.md", "pip install pauseflow-nb"): "tests/dist.sh installs the wheel",
    ("docs/how-to/postgresql-s3.md", "pip install 'pauseflow-nb[postgresql,s3]'"): "tests/test_docs_blocks.py",
    ("docs/how-to/team-server.md", "sudo useradd"): "it changes the machine: tests/test_docs_blocks.py",
    ("docs/hub.md", "curl -H"): "tests/hub",
    ("docs/operations.md", 'mkdir -p "$BACKUP"'): "tests/acceptance/test_operations.py",
    ("docs/operations.md", 'mkdir -p "$PAUSEFLOW_DATA_DIR"'): "tests/acceptance/test_operations.py",
}

ASK = "%%step ask\nflow.suspend()"
IMPORT = "from pauseflow_nb import flow, steps"


@dataclass
class Reader:
    """Somebody who copies blocks into a terminal, in one folder."""

    pauseflow: "Pauseflow"
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.pauseflow.folder

    def write(self, name: str, *cells: str, parameters: str = "") -> None:
        made = [nbformat.v4.new_code_cell(source) for source in cells]
        if parameters:
            made.insert(0, nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=made, metadata=kernel), self.folder / name)

    def printed(self, name: str) -> str:
        cells = nbformat.read(self.folder / name, as_version=4).cells
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        return "".join(output.get("text", "") for output in outputs)

    def run(self, code: str, **variables: str) -> str:
        """Run a block to its end; gives what it printed."""
        process = self._begin(code, variables)
        printed, _ = process.communicate(timeout=300)
        assert process.returncode == 0, printed
        return printed

    def run_and_answer(self, code: str, answer: str = "{}", **variables: str) -> str:
        """Run a block whose notebook asks; gives what it printed."""
        process = self._begin(code, variables)
        self.pauseflow("resume", self.waiting(), "--data", answer)
        printed, _ = process.communicate(timeout=300)
        assert process.returncode == 0, printed
        return printed

    def start(self, code: str, sign: str, **variables: str) -> subprocess.Popen[str]:
        """Run a block that begins to serve, until it prints the sign."""
        process = self._begin(code, variables)
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if sign in line:
                return process
        pytest.fail("".join(lines))

    def serve(self, code: str, sign: str, **variables: str) -> None:
        """Run a block that begins to serve, until it prints the sign; then end it."""
        self._end(self.start(code, sign, **variables))

    def serve_until(self, execution: str, state: str) -> None:
        """Let a server and its worker continue an execution."""
        process = self.start("pauseflow serve", "is ready at")
        wait_until(lambda: self.state(execution) == state, f"it is {state}", 200)
        self._end(process)

    def state(self, execution: str) -> str:
        state: str = self.pauseflow("show", execution, "--json").execution["state"]
        return state

    def waiting(self) -> str:
        """Wait until an execution waits for an answer; gives its id."""

        def find() -> str | None:
            return next((each["id"] for each in self.pauseflow.executions() if each["state"] == "suspended"), None)

        found: str = wait_until(find, "an execution waits", 200)
        return found

    def close(self) -> None:
        for process in self.running:
            if process.poll() is None:
                self._end(process)

    def _begin(self, code: str, variables: dict[str, str]) -> subprocess.Popen[str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", code],
            cwd=self.folder,
            env=self.pauseflow.environment | {"PATH": path} | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.running.append(process)
        return process

    @staticmethod
    def _end(process: subprocess.Popen[str]) -> None:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=100)


@pytest.fixture
def reader(pauseflow: "Pauseflow") -> Iterator[Reader]:
    reader = Reader(pauseflow)
    yield reader
    reader.close()


def find(key: Key) -> str:
    page, beginning = key
    (code,) = (block.code for block in read_blocks(page) if block.language == "sh" and block.code.startswith(beginning))
    return code


def runs(page: str, *beginnings: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Hand blocks of a page to a test, as `codes`."""
    keys = [(page, beginning) for beginning in beginnings]
    RUN.update(keys)
    return pytest.mark.parametrize("codes", [[find(key) for key in keys]], ids=[page])


def test_each_shell_block_is_run_or_says_what_checks_it() -> None:
    known = RUN | ELSEWHERE.keys()
    found = [(page, block.code) for page in PAGES for block in read_blocks(page) if block.language == "sh"]

    assert [each for each in found if not any(each[0] == page and each[1].startswith(b) for page, b in known)] == []
    assert RUN & ELSEWHERE.keys() == set()
    assert [key for key in ELSEWHERE if find(key) == ""] == []


@runs("README.md", "pauseflow run first.ipynb")
def test_the_first_notebook_of_the_readme(reader: Reader, codes: list[str]) -> None:
    reader.write("first.ipynb", *blocks("README.md", IMPORT, "%%step ask", "%%step report"))

    printed = reader.run_and_answer(codes[0], '{"comment": "fine"}')

    assert printed.count("http://") == 3
    assert "{'comment': 'fine'} and the numbers are still here" in reader.printed("first-done.ipynb")


@pytest.mark.slow
@runs("docs/tutorial.md", "pauseflow run report.ipynb", "pauseflow list", "pauseflow retry ID")
def test_the_tutorial(reader: Reader, codes: list[str]) -> None:
    run, look, retry = codes
    cells = blocks("docs/tutorial.md", IMPORT, "import random", "%%step approve", "%%step publish")
    reader.write("report.ipynb", *cells)
    reader.run_and_answer(run, '{"comment": "looks right"}')
    assert "published; looks right" in reader.printed("report-done.ipynb")
    reader.run("pauseflow verify report-done.ipynb")

    reader.write("report.ipynb", *cells[:3], "%%step publish\n1 / 0")
    process = reader._begin(run, {})
    waits = reader.waiting()
    assert "suspended" in reader.run(look.replace("ID", waits[:6]))
    reader.pauseflow("resume", waits)
    printed, _ = process.communicate(timeout=200)
    assert (process.returncode, "pauseflow retry" in printed) == (1, True)
    reader.write("report.ipynb", *cells)
    reader.run(retry.replace("ID", waits))
    reader.serve_until(waits, "completed")
    assert "published" in reader.printed("report-done.ipynb")


@pytest.mark.slow
@runs("docs/decisions.md", "pauseflow verify OUT.ipynb")
def test_the_three_ways_to_verify(reader: Reader, codes: list[str]) -> None:
    reader.write("IN.ipynb", IMPORT, ASK)
    reader.run_and_answer("pauseflow run IN.ipynb OUT.ipynb")
    reader.run("pauseflow keys export > keys.pem")

    assert reader.run(codes[0]).count("✓") >= 3


@pytest.mark.slow
@runs("docs/papermill.md", "papermill    IN.ipynb")
@pytest.mark.filterwarnings("ignore")
def test_papermill_and_what_replaces_it(reader: Reader, codes: list[str]) -> None:
    reader.write("IN.ipynb", "print(alpha * 10)", parameters="alpha = 0.1")
    for line in codes[0].splitlines():
        reader.run(line)
        assert "6.0" in reader.printed("OUT.ipynb"), line
        (reader.folder / "OUT.ipynb").unlink()


@pytest.mark.slow
@runs("docs/running.md", "pauseflow run IN.ipynb")
def test_a_run_with_a_parameter(reader: Reader, codes: list[str]) -> None:
    reader.write("IN.ipynb", "print(alpha * 10)", parameters="alpha = 0.1")
    reader.run(codes[0])

    assert "6.0" in reader.printed("OUT.ipynb")


@pytest.mark.slow
@runs("docs/secrets.md", "pauseflow run report.ipynb")
def test_a_secret_as_a_parameter(reader: Reader, codes: list[str]) -> None:
    reader.write("report.ipynb", "print('length', len(token), token)", parameters="token = ''")
    reader.run(codes[0].replace("report.ipynb", "report.ipynb out.ipynb"), PAUSEFLOW_SECRET_API_KEY="k" * 20)

    assert "length 20 ••••" in reader.printed("out.ipynb")


@pytest.mark.slow
@runs("docs/how-to/retry.md", "pauseflow retry ID")
def test_two_ways_to_retry(reader: Reader, codes: list[str]) -> None:
    reader.write("IN.ipynb", "%%step a\n1 / 0")
    reader.write("corrected.ipynb", "%%step a\nprint('corrected')")
    reader.pauseflow("run", "IN.ipynb", "out.ipynb")
    (execution,) = (each["id"] for each in reader.pauseflow.executions())

    for line, state in zip(codes[0].splitlines(), ["failed", "completed"], strict=True):
        reader.run(line.replace("ID", execution))
        reader.serve_until(execution, state)
    assert "corrected" in reader.printed("out.ipynb")


@pytest.mark.slow
@runs("docs/how-to/callback.md", "curl -X POST")
def test_a_job_that_calls_back(reader: Reader, codes: list[str]) -> None:
    reader.write("IN.ipynb", IMPORT, "%%step ask\nflow.suspend()", "print(steps.ask.data)")
    process = reader.pauseflow.start("run", "IN.ipynb", "out.ipynb")
    reader.run(codes[0], RESUME_URL=process.link("resume"))

    assert process.end().code == 0
    assert "{'rows': 1200}" in reader.printed("out.ipynb")


@pytest.mark.slow
@runs("docs/how-to/email.md", "export PAUSEFLOW_SMTP_HOST")
def test_the_settings_of_a_mail_server(reader: Reader, codes: list[str]) -> None:
    printed = reader.run(codes[0] + "pauseflow doctor || true\n")

    assert re.search(r"smtp_host +mail\.example\.org +environment", printed)
    assert re.search(r"mail +wrong|mail .*mail\.example\.org", printed)


@pytest.mark.slow
@runs("docs/how-to/schedule.md", "pauseflow trigger add", "pauseflow trigger list")
def test_a_schedule(reader: Reader, codes: list[str]) -> None:
    add, look = codes
    reader.write("report.ipynb", "print(region)", parameters="region = ''")
    reader.serve(add, "is ready at")
    trigger = json.loads(reader.pauseflow("trigger", "list", "--json").stdout)[0]["id"]

    printed = reader.run(look.replace("TRIGGER", trigger))
    assert "Europe/Berlin" in printed
    assert len(reader.pauseflow.executions()) == 1


@pytest.mark.slow
@runs("docs/triggers.md", "pauseflow trigger add")
def test_a_schedule_and_an_http_trigger(reader: Reader, codes: list[str]) -> None:
    reader.write("report.ipynb", "1", parameters="region = ''")
    reader.write("order.ipynb", "1")

    assert "/pauseflow/start/" in reader.run(codes[0])


@pytest.mark.slow
@runs("docs/how-to/team-server.md", "sudo systemctl")
def test_the_health_of_a_server(reader: Reader, codes: list[str]) -> None:
    _systemctl, curl = codes[0].splitlines()
    port = reader.pauseflow.environment["PAUSEFLOW_PORT"]
    reader.start("pauseflow serve", "is ready at")

    assert '"ok"' in reader.run(curl.replace("7287", port))
    assert send(f"http://127.0.0.1:{port}/pauseflow/api/executions")[0] == 403


@pytest.mark.slow
@runs("docs/cluster.md", "pauseflow worker --concurrency 8")
def test_workers_of_two_classes(reader: Reader, codes: list[str]) -> None:
    for line in codes[0].splitlines():
        reader.serve(line, "is ready")


@pytest.mark.slow
@runs("docs/from-pipedream.md", "pip install", "pauseflow run order-approval", "pauseflow trigger add")
def test_an_imported_workflow(reader: Reader, codes: list[str]) -> None:
    install_and_import, run, add = codes
    source = CORPUS / "github-sync" / "order-approval-p_s17"
    reader.run(install_and_import.partition("\n")[2].replace("export.zip", str(source)))
    imported = reader.folder / "orders" / "order-approval" / "order-approval.ipynb"
    notebook = nbformat.read(imported, as_version=4)
    for cell in notebook.cells:
        if "raise NotImplementedError" in cell.source:
            cell.source = f"{cell.source.splitlines()[0]}\nprint('written by hand')"
    nbformat.write(notebook, imported)
    (reader.folder / "orders" / "nightly").mkdir()
    reader.write("orders/nightly/nightly.ipynb", "1")

    reader.run_and_answer(f"cd orders\n{run}", '{"approved": true}')
    reader.serve(f"cd orders\n{add}", "is ready at")


@pytest.mark.slow
@runs("notebooks/README.md", "pip install")
def test_the_first_notebook_of_the_course(reader: Reader, codes: list[str]) -> None:
    shutil.copy(ROOT / "notebooks" / "01_approve_model.ipynb", reader.folder)
    reader.run_and_answer(codes[0].partition("\n")[2])

    assert "published by process" in reader.printed("out.ipynb")


@pytest.mark.slow
@runs("docs/ecosystem.md", "jupyter lab")
def test_jupyter_lab_with_the_execution_manager(reader: Reader, codes: list[str]) -> None:
    pytest.importorskip("jupyter_scheduler")
    reader.serve(f"{codes[0].rstrip()} --no-browser --allow-root --port 0", "is running at")


@pytest.fixture
def s3_url() -> Iterator[str]:
    """An S3 server with an empty bucket."""
    moto = pytest.importorskip("moto.server", reason="`pip install --group cluster` brings an S3 server")
    boto3 = pytest.importorskip("boto3")
    server = moto.ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    url = "http://127.0.0.1:{1}".format(*server.get_host_and_port())
    account = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=url, **account).create_bucket(Bucket="my-bucket")
    yield url
    server.stop()


@pytest.mark.slow
@pytest.mark.postgresql
@runs("docs/how-to/postgresql-s3.md", "createdb pauseflow", "pauseflow serve")
def test_a_store_on_postgresql_and_s3(reader: Reader, codes: list[str], postgresql_url: str, s3_url: str) -> None:
    _createdb, *exports, doctor = codes[0].splitlines()
    settings = "\n".join(exports).replace("postgresql://flows@db.example.org/pauseflow", postgresql_url)
    settings = settings.replace("…", "testing")

    printed = reader.run(f"{settings}\n{doctor}\n", AWS_ENDPOINT_URL=s3_url)
    assert re.search(r"storage +ok +s3://my-bucket/pauseflow", printed)
    assert re.search(r"database +ok +postgresql", printed)
    for line in codes[1].splitlines():
        reader.serve(f"{settings}\n{line}", "is ready", AWS_ENDPOINT_URL=s3_url)
