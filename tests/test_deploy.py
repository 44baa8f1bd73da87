"""The files in docs/deploy: validators accept them, and every command and variable in them exists."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from pauseflow_nb.cli import main
from pauseflow_nb.engine.worker import DRAIN_SECONDS
from pauseflow_nb.settings import known_variables

DEPLOY = Path(__file__).parent.parent / "docs" / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")))
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in DEPLOY.iterdir()}


def containers() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Pod and container of every deployment."""
    pods = [each["spec"]["template"]["spec"] for each in MANIFESTS if each["kind"] == "Deployment"]
    return [(pod, container) for pod in pods for container in pod["containers"]]


def commands() -> list[list[str]]:
    ours = [service["command"] for service in COMPOSE["services"].values() if "command" in service]
    image = re.search(r"^CMD (\[.*\])$", TEXTS["Dockerfile"], re.MULTILINE)
    assert image is not None
    return [*ours, *(container["args"] for _, container in containers()), yaml.safe_load(image[1])]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_and_flag_exists(command: list[str]) -> None:
    known = CliRunner().invoke(main, [command[0], "--help"])

    assert known.exit_code == 0
    assert all(word in known.output for word in command if word.startswith("--"))


def test_every_variable_of_ours_is_a_setting() -> None:
    named = {name for text in TEXTS.values() for name in re.findall(r"\bPAUSEFLOW_[A-Z_]+", text)}

    assert named - known_variables() == set()


def test_what_runs_has_more_time_to_stop_than_a_worker_takes() -> None:
    waits = [
        int(str(service["stop_grace_period"]).removesuffix("s"))
        for service in COMPOSE["services"].values()
        if "command" in service
    ]
    waits += [pod["terminationGracePeriodSeconds"] for pod, _ in containers()]

    assert min(waits) > 2 * DRAIN_SECONDS


def test_no_password_stands_in_a_file() -> None:
    environment = COMPOSE["x-pauseflow"]["environment"]

    assert all("${" in value for name, value in environment.items() if "KEY" in name or "PASSWORD" in name)
    assert not [each for each in MANIFESTS if each["kind"] == "Secret"]


def test_all_parts_name_the_same_things() -> None:
    """Labels, volumes, secrets and ports that a manifest refers to are there."""
    config = {each["metadata"]["name"] for each in MANIFESTS if each["kind"] == "ConfigMap"}
    claims = {each["metadata"]["name"] for each in MANIFESTS if each["kind"] == "PersistentVolumeClaim"}
    for pod, container in containers():
        volumes = {volume["name"]: volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes.keys()
        assert set(volumes.values()) <= claims
        assert container["envFrom"][0]["configMapRef"]["name"] in config
    for each in MANIFESTS:
        if each["kind"] == "Deployment":
            assert each["spec"]["selector"]["matchLabels"] == each["spec"]["template"]["metadata"]["labels"]
    (service,) = [each for each in MANIFESTS if each["kind"] == "Service"]
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in MANIFESTS if each["kind"] == "Deployment"]
    assert service["spec"]["selector"] in labels


def test_kubernetes_accepts_the_manifests() -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="`pip install --group cluster` brings the schemas")
    for manifest in MANIFESTS:
        validate.validate(manifest, "1.31", strict=True)


def test_compose_accepts_its_file() -> None:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no `docker compose` here")
    found = subprocess.run(
        ["docker", "compose", "config", "-q"], cwd=DEPLOY, capture_output=True, text=True, check=False
    )

    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("program", ["kubeconform"])
def test_programs_that_are_installed_accept_the_manifests(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"no {program} here")
    found = subprocess.run(
        [program, "-strict", str(DEPLOY / "kubernetes.yaml")], capture_output=True, text=True, check=False
    )

    assert found.returncode == 0, found.stdout + found.stderr
