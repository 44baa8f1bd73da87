"""Kernels that do not start, lack our package, or speak another language."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.provisioning.factory import KernelProvisionerFactory

from pauseflow_nb.errors import InvalidNotebook, KernelDied, KernelUnavailable


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install a kernelspec for this test: a Python program in its place, or other words."""
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))

    def installed(name: str, program: str, *, language: str = "python", **spec: Any) -> None:
        folder = tmp_path / "jupyter" / "kernels" / name
        folder.mkdir(parents=True)
        argv = [sys.executable, "-c", program, "-f", "{connection_file}"]
        (folder / "kernel.json").write_text(
            json.dumps({"argv": argv, "display_name": name, "language": language} | spec)
        )

    return installed


IPYKERNEL = "from ipykernel import kernelapp; kernelapp.launch_new_instance()"


def test_a_kernel_that_ends_while_starting_is_quoted(install: Any, rehearse: Any) -> None:
    install("broken", "import sys; sys.exit('no licence for this kernel')")

    with pytest.raises(KernelUnavailable, match="ended while it started; it said:\nno licence for this kernel"):
        rehearse("1", kernel="broken").run()


def test_a_kernel_that_never_replies_is_an_error(install: Any, rehearse: Any) -> None:
    install("mute", "import sys, time; print('thinking', file=sys.stderr, flush=True); time.sleep(600)")

    with pytest.raises(KernelUnavailable, match=r"not ready within 0\.7 s; it said:\nthinking"):
        rehearse("1", kernel="mute").run(start_timeout=0.7)


def test_a_program_or_directory_that_is_not_there(install: Any, rehearse: Any) -> None:
    install("gone", "", argv=["/no/such/python", "{connection_file}"])

    with pytest.raises(KernelUnavailable, match="its program /no/such/python does not exist"):
        rehearse("1", kernel="gone").run()
    with pytest.raises(KernelUnavailable, match="working directory /no/such/folder does not exist"):
        rehearse("1").run(cwd="/no/such/folder")


def test_the_error_of_an_environment_without_our_package_says_what_to_install(install: Any, rehearse: Any) -> None:
    install("bare", "import sys; sys.modules['pauseflow_nb'] = None; " + IPYKERNEL)

    with pytest.raises(KernelUnavailable, match=f"{sys.executable} -m pip install pauseflow-nb"):
        rehearse("1", kernel="bare").run()


def test_another_language_runs_plainly_and_has_no_steps(install: Any, rehearse: Any) -> None:
    install("other", IPYKERNEL, language="bash")
    rehearsal = rehearse(
        "print('plain')",
        "'pauseflow' in dir(get_ipython())",
        "'pauseflow_nb' in __import__('sys').modules",
        kernel="other",
    )

    end = rehearsal.run()

    assert (end.kind, end.outcome, rehearsal.log.checkpoints) == ("completed", None, [])
    assert [rehearsal.text(index) for index in range(3)] == ["plain\n", "False", "False"]
    with pytest.raises(
        InvalidNotebook, match="cell 1 is a `%%step`, and steps need a Python kernel; 'other' speaks bash"
    ):
        rehearse("%%step a", kernel="other")


@pytest.mark.filterwarnings("ignore:Passing unrecognized arguments to super:DeprecationWarning")  # its kernel.json
def test_bash_itself(rehearse: Any) -> None:
    pytest.importorskip("bash_kernel", reason="needs `pip install bash_kernel` and its kernelspec")
    rehearsal = rehearse("echo from bash", kernel="bash")

    assert rehearsal.run().kind == "completed"
    assert rehearsal.text(0) == "from bash\n"
    assert rehearsal.document.metadata.language_info.name == "bash"


@pytest.mark.slow
def test_javascript_itself(install: Any, rehearse: Any) -> None:
    deno = pytest.importorskip("deno", reason="needs `pip install deno`")
    argv = [str(deno.find_deno_bin()), "jupyter", "--kernel", "--conn", "{connection_file}"]
    install("deno", "", language="typescript", argv=argv)
    rehearsal = rehearse("const x = 2; console.log('from', x)", "x + 40", "throw new Error('boom')", kernel="deno")
    end = rehearsal.run()

    assert (end.kind, end.failure.type, end.failure.message) == ("failed", "Error", "boom")
    assert (rehearsal.text(0), "42" in rehearsal.text(1)) == ("from 2\n", True)
    with pytest.raises(InvalidNotebook, match="'deno' speaks typescript"):
        rehearse("%%step a", kernel="deno")


def test_a_provisioner_that_is_not_installed_is_refused(install: Any, rehearse: Any) -> None:
    install("gone", "", metadata={"kernel_provisioner": {"provisioner_name": "never-installed"}})

    with pytest.raises(KernelUnavailable, match="a provisioner that is not installed"):
        rehearse("1", kernel="gone")


PROVISIONER = """
import pathlib
from jupyter_client.provisioning import LocalProvisioner

class Far(LocalProvisioner):
    asked = pathlib.Path(__file__).with_name("asked")

    async def launch_kernel(self, cmd, **options):
        self.note("launch")
        return await super().launch_kernel(cmd, **options)

    async def send_signal(self, number):
        self.note(f"signal {number}" if number else "poll")
        await super().send_signal(number)

    async def kill(self, restart=False):
        self.note("kill")
        await super().kill(restart)

    def note(self, what):
        with self.asked.open("a") as file:
            file.write(what + "\\n")
"""


@pytest.fixture
def far(install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A kernel that a provisioner of somebody else's starts; returns the file that says what it was asked."""
    site = tmp_path / "site"
    (site / "far_away-1.dist-info").mkdir(parents=True)
    (site / "far_away-1.dist-info" / "entry_points.txt").write_text(
        "[jupyter_client.kernel_provisioners]\nfar-away = far_away:Far\n"
    )
    (site / "far_away.py").write_text(PROVISIONER)
    monkeypatch.syspath_prepend(site)
    # The module of another test would write into that test's folder.
    monkeypatch.delitem(sys.modules, "far_away", raising=False)
    KernelProvisionerFactory.clear_instance()
    install("far", "", metadata={"kernel_provisioner": {"provisioner_name": "far-away"}}, argv=FAR)
    yield site / "asked"
    KernelProvisionerFactory.clear_instance()


FAR = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]


def test_a_provisioner_starts_interrupts_and_ends_its_kernel(far: Path, rehearse: Any) -> None:
    rehearsal = rehearse("print('far')", "%%step one\n1", kernel="far")
    end = rehearsal.run()
    stopped = rehearse("import time\nprint('now', flush=True)\ntime.sleep(60)", kernel="far")
    stopped.when_it_says("now", stopped.control.interrupt)
    stopped_end = stopped.run()

    assert (end.kind, rehearsal.text(0), stopped_end.failure.type) == ("completed", "far\n", "KeyboardInterrupt")
    assert {"launch", "signal 2"} <= set(far.read_text().splitlines())


def test_a_kernel_far_away_that_dies_is_noticed(far: Path, rehearse: Any) -> None:
    with pytest.raises(KernelDied):
        rehearse("import os\nos._exit(1)", kernel="far").run()


def test_the_kernelspecs_environment_reaches_the_kernel(install: Any, rehearse: Any) -> None:
    install("env", IPYKERNEL, env={"FROM_SPEC": "${HOME}/x"})
    rehearsal = rehearse("import os; print(os.environ['FROM_SPEC'], os.environ['GIVEN'])", kernel="env")

    rehearsal.run(env={"GIVEN": "1", "HOME": "/home/x"})

    assert rehearsal.text(0) == "/home/x/x 1\n"


OPERATORS = {
    "PAUSEFLOW_SMTP_PASSWORD": "a",
    "PAUSEFLOW_NOTIFY": '{"team": "slack://b"}',
    "PAUSEFLOW_DB": "postgresql://flows:c@db.example.org/flows",
    "PAUSEFLOW_SECRET_API": "d",
    "JUPYTER_TOKEN": "e",
    "JUPYTERHUB_API_TOKEN": "f",
    "JPY_API_TOKEN": "g",
    "CONFIGPROXY_AUTH_TOKEN": "h",
    "JUPYTER_GATEWAY_AUTH_TOKEN": "i",
    "JUPYTER_GATEWAY_HEADERS": '{"Authorization": "Bearer j"}',
    "EG_AUTH_TOKEN": "k",
}
USERS = {
    "AWS_SECRET_ACCESS_KEY": "l",
    "MY_PASSWORD": "m",
    "PGPASSWORD": "n",
    "PAUSEFLOW_DATA_DIR": "/srv/flows",
    "PAUSEFLOW_STORAGE": "s3://bucket/flows",
    "JUPYTER_PATH_OF_MINE": "o",
    "KERNEL_USERNAME": "ann",
}


@pytest.fixture
def operated(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (OPERATORS | USERS).items():
        monkeypatch.setenv(name, value)


@pytest.mark.every(2)
@pytest.mark.usefixtures("operated")
@pytest.mark.parametrize("kernel", ["python3", "far", "templated"])
def test_no_kernel_gets_a_secret_of_the_operator_and_each_gets_the_users(
    install: Any, far: Path, rehearse: Any, kernel: str
) -> None:
    install("templated", IPYKERNEL, env={"TAKEN": "${JUPYTER_TOKEN}", "OWN": "${MY_PASSWORD}"})
    rehearsal = rehearse("import json, os; print(json.dumps(dict(os.environ)))", kernel=kernel)

    assert rehearsal.run().kind == "completed"
    seen = json.loads(rehearsal.text(0))

    assert OPERATORS.keys() & seen.keys() == set()
    assert {name: seen.get(name) for name in USERS} == USERS
    if kernel == "templated":
        assert (seen["TAKEN"], seen["OWN"]) == ("${JUPYTER_TOKEN}", "m")
    assert far.exists() == (kernel == "far")


@pytest.mark.usefixtures("operated")
def test_no_process_beside_a_kernel_gets_a_secret_of_the_operator(rehearse: Any) -> None:
    """The guard, the fork server and the kernel itself, as the operating system shows them."""
    rehearsal = rehearse("print(1)")
    shown: list[bytes] = []

    def look(_cell: int, _output: Any) -> None:
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"PPid:\t{os.getpid()}\n" in (process / "status").read_text():
                    shown.append((process / "environ").read_bytes())

    if not Path("/proc/self/environ").exists():
        pytest.skip("this operating system shows no environments")
    rehearsal.log.when_output = look
    rehearsal.run()

    assert shown
    for name in OPERATORS:
        assert not any(f"\0{name}=".encode() in b"\0" + environment for environment in shown), name
