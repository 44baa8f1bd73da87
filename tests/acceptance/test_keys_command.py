"""`pauseflow keys` and `pauseflow revoke`, with a run that has printed its links and waits."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from acceptance.command import Pauseflow, Running
from acceptance.web import send
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from nbformat import v4, write

pytestmark = pytest.mark.acceptance

ASK = "%%step ask\nfrom pauseflow_nb import flow\nflow.suspend('10m', title='Go on?')"


@pytest.fixture
def waiting(pauseflow: Pauseflow) -> Running:
    """An attached run that waits; its links were printed."""
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [v4.new_code_cell(ASK), v4.new_code_cell("print('done')")]
    write(v4.new_notebook(cells=cells, metadata=metadata), pauseflow.folder / "in.ipynb")
    running = pauseflow.start("run", "in.ipynb", "out.ipynb", "--json")
    running.link("resume")
    return running


def new_link(pauseflow: Pauseflow) -> str:
    execution = pauseflow.executions()[0]["id"]
    return str(json.loads(pauseflow("show", execution, "--json").stdout)["suspended"][0]["resume_url"])


def test_a_printed_link_outlives_a_rotation(pauseflow: Pauseflow, waiting: Running) -> None:
    ended = pauseflow("keys", "rotate")

    assert ended.code == 0, ended.stderr
    assert "key 2 signs from now on" in ended.stdout
    assert "stay valid" in ended.stderr
    assert send(waiting.link("resume"))[0] == 200
    assert waiting.end().code == 0


@pytest.mark.every(2)
@pytest.mark.parametrize("how", ["withdraw", "revoke"])
def test_a_printed_link_dies_and_the_new_one_that_show_prints_acts(
    pauseflow: Pauseflow, waiting: Running, how: str
) -> None:
    execution = pauseflow.executions()[0]["id"]
    command = ["keys", "rotate", "--withdraw", "--json"] if how == "withdraw" else ["revoke", execution, "--json"]
    ended = pauseflow(*command)

    assert ended.code == 0, ended.stderr
    status, answer = send(waiting.link("resume"))
    assert (status, answer) == (410, {"error": "this link was withdrawn; ask for a new one"})
    found = json.loads(ended.stdout)
    if how == "withdraw":
        assert (found["id"], found["state"], found["withdrawn"]) == (2, "signs", [1])
    else:
        assert found["suspended"][0]["resume_url"] == new_link(pauseflow)
    assert send(new_link(pauseflow))[0] == 200
    assert waiting.end().code == 0


def test_exported_keys_are_public_and_openssl_reads_them(pauseflow: Pauseflow, tmp_path: Path) -> None:
    pauseflow.create_store()
    for _ in range(2):
        pauseflow("keys", "rotate", "--withdraw")
    listed = pauseflow("keys", "list")
    exported = pauseflow("keys", "export")
    as_json = json.loads(pauseflow("keys", "export", "--json").stdout)
    first = pauseflow("keys", "export", "1")

    assert [line.split()[:2] for line in listed.stdout.splitlines()[1:]] == [
        ["1", "withdrawn"],
        ["2", "withdrawn"],
        ["3", "signs"],
    ]
    assert exported.stdout.count("BEGIN PUBLIC KEY") == 1
    assert [key["id"] for key in as_json] == [3]
    assert as_json[0]["public_key"] in exported.stdout
    assert "Key 1, which was withdrawn" in first.stdout
    assert "PRIVATE" not in listed.stdout + exported.stdout + first.stdout
    assert isinstance(load_pem_public_key(exported.stdout.encode()), Ed25519PublicKey)
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    (tmp_path / "key.pem").write_text(exported.stdout)
    words = ["openssl", "pkey", "-pubin", "-in", str(tmp_path / "key.pem"), "-text", "-noout"]
    assert "ED25519" in subprocess.run(words, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["keys", "export", "9"], "no key 9 in this store: `pauseflow keys list` shows its keys"),
        (["revoke", "nothing"], "no execution 'nothing' in this store"),
    ],
)
def test_what_does_not_exist_is_a_usage_error(pauseflow: Pauseflow, words: list[str], sentence: str) -> None:
    pauseflow.create_store()
    ended = pauseflow(*words, "--json")

    assert ended.code == 2
    assert sentence in json.loads(ended.stdout)["error"]["message"]
    assert sentence in ended.stderr
