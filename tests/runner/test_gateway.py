"""Kernels behind a Jupyter gateway: they share the storage and one connection with the runner, and nothing else."""

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
from pauseflow_nb.runner.kernels.gateway import _pack_message, _unpack_message


def test_a_message_is_unpacked_as_it_was_packed() -> None:
    parts = [b"{}", b"", b"{}", b'{"a": 1}', b"\x00" * 9]

    assert _unpack_message(_pack_message("iopub", parts)) == [b"iopub", *parts]


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
    monkeypatch.setenv("JUPYTER_GATEWAY_AUTH_TOKEN", "secret")
    install_kernelspec(gateway, tmp_path, monkeypatch)
    return gateway


def install_kernelspec(gateway: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
    kernel = folder / "jupyter" / "kernels" / "behind"
    kernel.mkdir(parents=True)
    chosen = {"provisioner_name": "pauseflow-gateway", "config": {"url": gateway}}
    spec = {"argv": [], "display_name": "Behind", "language": "python", "metadata": {"kernel_provisioner": chosen}}
    (kernel / "kernel.json").write_text(json.dumps(spec))


def kernels_of(gateway: str) -> list[Any]:
    request = urllib.request.Request(f"{gateway}/api/kernels", headers={"Authorization": "token secret"})
    with urllib.request.urlopen(request, timeout=60) as answer:
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
    rehearsal.when_it_says("now", rehearsal.control.interrupt)
    end = rehearsal.run()

    assert (end.kind, end.failure.type) == ("interrupted", "KeyboardInterrupt")
    assert rehearsal.document.cells[0].outputs[-1].ename == "KeyboardInterrupt", "a kernel that was killed shows none"


@pytest.mark.slow
def test_the_death_of_its_kernel_is_noticed_although_the_gateway_starts_another(behind: str, rehearse: Any) -> None:
    with pytest.raises(KernelDied):
        rehearse("import os\nos._exit(1)", kernel="behind").run()


@pytest.mark.slow
def test_a_refusal_of_the_gateway_is_in_the_error(behind: str, rehearse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_GATEWAY_AUTH_TOKEN", "wrong")
    with pytest.raises(KernelUnavailable, match="its provisioner 'pauseflow-gateway' says: HTTP Error 40"):
        rehearse("1", kernel="behind").run()


def test_without_the_extra_the_error_says_what_to_install(
    rehearse: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_kernelspec("http://127.0.0.1:1", tmp_path, monkeypatch)
    # As if neither had been imported, and the package were missing.
    monkeypatch.setitem(sys.modules, "websocket", None)
    monkeypatch.delitem(sys.modules, "pauseflow_nb.runner.kernels.gateway")

    with pytest.raises(KernelUnavailable, match=r"pip install 'pauseflow-nb\[gateway\]'"):
        rehearse("1", kernel="behind").run()


def test_nothing_imports_the_gateway_before_a_kernelspec_chooses_it() -> None:
    words = (
        "import sys, pauseflow_nb.runner.segment, pauseflow_nb.engine.worker\n"
        "print({'websocket', 'pauseflow_nb.runner.kernels.gateway'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"
