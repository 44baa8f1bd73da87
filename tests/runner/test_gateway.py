"""Kernels behind a Jupyter gateway: nothing is shared with them but what goes over the line, and the storage."""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pauseflow_nb.errors import KernelDied, KernelUnavailable
from pauseflow_nb.protocol import Wake
from pauseflow_nb.runner.kernels.gateway import _packed, _unpacked


def test_what_is_packed_comes_out_again() -> None:
    parts = [b"{}", b"", b"{}", b'{"a": 1}', b"\x00" * 9]

    assert _unpacked(_packed("iopub", parts)) == [b"iopub", *parts]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, wait_until: Any) -> Iterator[str]:
    """Address of a gateway of this machine, which wants the token `secret`."""
    pytest.importorskip("kernel_gateway", reason="needs `pip install jupyter_kernel_gateway`")
    folder = tmp_path_factory.mktemp("gateway")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [f"KernelGatewayApp.port={port}", "KernelGatewayApp.auth_token=secret"]
    options.append("JupyterWebsocketPersonality.list_kernels=True")
    words = ["-m", "kernel_gateway", *(f"--{option}" for option in options)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, *words], cwd=folder, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        with suppress(OSError):
            return kernels_of(url) == []
        return False

    try:
        wait_until(answers, description="the gateway answers", seconds=100)
        yield url
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def behind(gateway: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Install a kernelspec of which only the gateway knows the kernel; returns the gateway's address."""
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_GATEWAY_AUTH_TOKEN", "secret")
    folder = tmp_path / "jupyter" / "kernels" / "behind"
    folder.mkdir(parents=True)
    chosen = {"provisioner_name": "pauseflow-gateway", "config": {"url": gateway}}
    spec = {"argv": [], "display_name": "Behind", "language": "python", "metadata": {"kernel_provisioner": chosen}}
    (folder / "kernel.json").write_text(json.dumps(spec))
    return gateway


def kernels_of(gateway: str) -> list[Any]:
    request = urllib.request.Request(f"{gateway}/api/kernels", headers={"Authorization": "token secret"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        found: list[Any] = json.load(answer)
    return found


@pytest.mark.slow
def test_it_pauses_and_goes_on_in_another_kernel(behind: str, rehearse: Any, wait_until: Any) -> None:
    rehearsal = rehearse(
        "from pauseflow_nb import flow, steps\nimport os\nfirst = os.getpid()\nprint('here', os.getppid())",
        "%%step ask\nflow.suspend()",
        "left_open = open('left.txt', 'w')\nleft_open.write('flushed')\nprint(steps.ask.data, first != os.getpid())",
        kernel="behind",
    )

    assert rehearsal.run().kind == "suspended"
    wake = Wake("ask", "suspend", "continue", by="user:ann", at="2026-11-20T10:00:00+00:00", callback={"body": 7})
    assert rehearsal.run(wake=wake).kind == "completed"

    assert rehearsal.text(0) != f"here {os.getpid()}\n"
    assert rehearsal.text(2) == "7 True\n"
    wait_until(lambda: kernels_of(behind) == [], description="the gateway has no kernel any more")


@pytest.mark.slow
def test_its_cell_is_interrupted(behind: str, rehearse: Any) -> None:
    rehearsal = rehearse("import time\nprint('now', flush=True)\ntime.sleep(60)", kernel="behind")
    rehearsal.log.when_output = lambda _cell, _output: rehearsal.control.interrupt()
    end = rehearsal.run()

    assert (end.kind, end.failure.type) == ("interrupted", "KeyboardInterrupt")


@pytest.mark.slow
def test_its_death_is_noticed_although_the_gateway_starts_another(behind: str, rehearse: Any) -> None:
    with pytest.raises(KernelDied):
        rehearse("import os\nos._exit(1)", kernel="behind").run()


@pytest.mark.slow
def test_what_the_gateway_refuses_is_told(behind: str, rehearse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_GATEWAY_AUTH_TOKEN", "wrong")
    with pytest.raises(KernelUnavailable, match="its provisioner 'pauseflow-gateway' says: HTTP Error 40"):
        rehearse("1", kernel="behind").run()
