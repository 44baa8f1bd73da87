"""The format on disk is a contract: snapshots of earlier versions come back, and names in pickles stay."""

import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from kernel_snapshot.conftest import Kernels, cell

GOLDEN = Path(__file__).parent.parent / "data" / "snapshots"
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
SCHEMAS = sorted({path.name.split("-")[1] for path in GOLDEN.glob("*.tar.xz")})


def unpack(schema: str, python: str, kind: str, kernels: Kernels) -> dict[str, Any]:
    """Put a golden snapshot where the kernels look for theirs; returns what `make.py` noted about it."""
    with tarfile.open(GOLDEN / f"schema-{schema}-python-{python}.tar.xz") as tar:
        for member in tar.getmembers():
            if member.name.startswith(f"{kind}/") and member.isfile():
                content = tar.extractfile(member)
                assert content is not None
                Path(kernels.folder).mkdir(exist_ok=True)
                Path(kernels.folder, Path(member.name).name).write_bytes(content.read())
    about: dict[str, Any] = json.loads(Path(kernels.folder, "about.json").read_text())
    return about


@pytest.mark.parametrize("kind", ["python", "libraries"])
@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_golden_snapshot_comes_back(schema: str, kind: str, kernels: Kernels) -> None:
    if kind == "libraries":
        pytest.importorskip("pandas")
    about = unpack(schema, PYTHON, kind, kernels)

    # It was made on another machine, with other versions of libraries.
    restored = kernels.restore(about, *about["checks"], force=True)

    assert restored["unrestored"] == {}
    assert restored["names"]


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_a_golden_snapshot_of_another_python_is_refused_by_name(schema: str, python: str, kernels: Kernels) -> None:
    about = unpack(schema, python, "python", kernels)
    if python == PYTHON:
        pytest.skip("it is this Python's")

    (answer,) = kernels.run({"do": "restore", "folder": kernels.folder, "ref": about["ref"]})

    assert answer["raised"] == "SnapshotMismatch"
    assert f"Python {python}." in answer["message"]
    assert f" here" in answer["message"]
