"""The example notebooks are a course, and hold nothing of a run."""

import importlib.util
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from acceptance.service import Service, serve
from acceptance.web import send

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, folder / "check.py"], capture_output=True, text=True, check=False)


def test_they_are_numbered_and_each_leads_to_the_next() -> None:
    checked = check(NOTEBOOKS)

    assert checked.returncode == 0, checked.stdout


def test_outputs_a_missing_number_and_a_missing_purpose_are_noticed(tmp_path: Path) -> None:
    shutil.copytree(NOTEBOOKS, tmp_path / "notebooks", ignore=shutil.ignore_patterns(".*", "__pycache__"))
    first, second, *_ = sorted((tmp_path / "notebooks").glob("*.ipynb"))
    document = json.loads(first.read_text())
    document["cells"][0]["source"] = "# No number"
    document["cells"][1]["execution_count"] = 7
    first.write_text(json.dumps(document))
    second.rename(second.with_name("03_renamed.ipynb"))
    checked = check(tmp_path / "notebooks")

    assert checked.returncode == 1
    for problem in ("cell 2 holds a run number", "its first cell has no '*You learn '", "is not named 02_"):
        assert problem in checked.stdout


def test_the_service_of_the_course_answers_what_the_notebooks_ask() -> None:
    spec = importlib.util.spec_from_file_location("service_of_the_course", NOTEBOOKS / "service.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    caller = Service()
    with serve(caller), module.Service(port=0, call_back_after=0) as service:
        url = f"http://127.0.0.1:{service.server_port}"
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            completions = [send(f"{url}/completions", {"prompt": "Say this is a test"})[0] for _ in range(3)]
            looks = [send(f"{url}/jobs/sunspots", method="GET")[1]["status"] for _ in range(2)]
            price = send(f"{url}/prices/DJIA", method="GET")[1]["price"]
            accepted = send(f"{url}/transcriptions", {"resume_url": f"{caller.url}/mailbox"})
            heard = caller.next_mail()
        finally:
            service.shutdown()
            thread.join()

    assert completions == [503, 503, 200]
    assert looks == ["RUNNING", "DONE"]
    assert price in module.read_closes()
    assert accepted == (202, {"accepted": True})
    assert heard["text"].startswith("Four score")
    assert module.mean_of_centuries()["1700s"] > 0
