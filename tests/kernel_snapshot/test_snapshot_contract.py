"""The format on disk is a contract: snapshots of earlier versions come back, and names in pickles stay."""

import importlib
import inspect
import io
import json
import re
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from cloudpickle import __version__ as cloudpickle_version  # type: ignore[import-untyped]
from cloudpickle import cloudpickle
from kernel_snapshot.conftest import Kernels, cell
from kernel_snapshot.test_snapshot_safety import changed

from pauseflow_nb.kernel.snapshot import reconstruct
from pauseflow_nb.kernel.snapshot.pickling import cloudpickle_private

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
    assert f"{PYTHON}." in answer["message"]


#: What the pickles of users hold: no line of this goes away or changes, and a new one raises `reconstruct.PROTOCOL`.
FROZEN = {
    "definition": "key",
    "fetch_secret": "name",
    "import_module": "name",
    "kernel_method": "name",
    "live_attribute": "module, path",
    "live_module_namespace": "module",
    "live_namespace": "",
    "live_part": "path",
    "live_session": "",
    "live_shell": "",
    "make_array": "memory, dtype, shape, strides, offset, is_writeable",
    "make_builtin_type": "name",
    "make_cached_property": "function",
    "make_cell": "",
    "make_class": "metaclass, name, bases, keywords, tracker, extra",
    "make_closed_file": "name, mode, encoding",
    "make_code": "maker, arguments, filename",
    "make_comm": "target_name, target_module, comm_id, is_closed",
    "make_context_variable": "name, default",
    "make_dead_reference": "",
    "make_dict_view": "mapping, kind",
    "make_empty_storage": "",
    "make_exception": "kind, library, arguments",
    "make_field": "root, name, is_writeable",
    "make_field_type": "name",
    "make_filled_cache": "wrapped, maxsize, typed, attributes",
    "make_frame": "table, is_series, order",
    "make_frozen_array": "array",
    "make_function": "code, namespace, cells",
    "make_generator": "state",
    "make_handler": "kind",
    "make_lru_cache": "wrapped, maxsize, typed, attributes",
    "make_masked": "data, mask, fill_value, is_hard",
    "make_match": "pattern, how, text, start, end",
    "make_member": "kind, name",
    "make_members": "bases, name, qualname, members, boundary, module, tracker, extra",
    "make_memmap": "filename, dtype, mode, offset, shape, order",
    "make_memmap_view": "root, dtype, shape, strides, offset, is_writeable",
    "make_memoryview": "owner, start, size, format_, shape, is_readonly",
    "make_module": "name, contents",
    "make_new_type": "name, supertype, module, qualname",
    "make_object_view": "root, shape, strides, offset, is_writeable",
    "make_own": "kind, arguments",
    "make_references": "",
    "make_scalar": "library, kind, value",
    "make_scalar_view": "row",
    "make_series_manager": "block, axis",
    "make_set": "kind, items, size, blocked",
    "make_storage": "memory",
    "make_subclass": "kind, maker, arguments",
    "make_traceback": "steps",
    "make_type_variable": "name, bound, constraints, is_covariant, is_contravariant",
    "make_typed_storage": "untyped, dtype",
    "make_view": "kind, array",
    "make_weak_mapping": "kind, items",
    "nameless_type": "name",
    "set_attributes": "array, attributes",
    "set_block_references": "block, state",
    "set_cache": "cached, entries",
    "set_cell": "cell, contents",
    "set_class": "defined, state",
    "set_comm": "comm, callbacks",
    "set_context_variable": "variable, value",
    "set_enum": "defined, state",
    "set_exception": "error, state",
    "set_frame": "frame, state",
    "set_function_state": "function, state",
    "set_handler": "handler, state",
    "set_index_references": "index, state",
    "set_own": "value, state",
    "set_parametrised_state": "defined, state",
    "set_tensor": "tensor, state",
    "set_traits": "value, state",
    "set_with_attributes": "value, state",
    "spent_link": "",
    "spent_links": "names",
    "type_of": "module, path",
}
PROTOCOL = 2


def test_the_names_that_pickles_hold_and_their_arguments_are_frozen() -> None:
    found = {name: ", ".join(inspect.signature(getattr(reconstruct, name)).parameters) for name in reconstruct.__all__}

    assert found == FROZEN
    assert reconstruct.PROTOCOL == PROTOCOL


@pytest.mark.parametrize(
    ("module", "now"),
    [
        ("answers", "resume_data._Named"),
        ("record", "attribute_dict.Record"),
        ("schema", "answer_types.Form"),
        ("stops", "control_flow.Paused"),
        ("timelimit", "timeout.StepTimeout"),
    ],
)
def test_a_snapshot_finds_classes_of_ours_that_have_moved_since(module: str, now: str) -> None:
    """`answer = flow.data` is a variable like any other, and pickles name its class by the module of that time."""
    place, _, name = now.partition(".")
    found = reconstruct.Unpickler(io.BytesIO(f"cpauseflow_nb.kernel.{module}\n{name}\n.".encode())).load()

    assert found is getattr(importlib.import_module(f"pauseflow_nb.kernel.{place}"), name)


def test_a_name_that_this_version_does_not_have_is_said(kernels: Kernels) -> None:
    saved = kernels.save("class K: pass\nk = K()\nother = 1")
    # As a later version would, which has another way to make an object.
    forget = "from pauseflow_nb.kernel.snapshot import reconstruct\nreconstruct.__all__.remove('make_class')"
    _, restored, bound = kernels.run(
        cell(forget), {"do": "restore", "folder": kernels.folder, "ref": saved["ref"]}, cell("other")
    )

    reasons = {name: lost["reason"] for name, lost in restored["unrestored"].items()}
    assert "make_class" in reasons["<definitions>"]
    assert "Use the pauseflow_nb that made it" in str(reasons)
    assert "it needs K, which could not be restored" in reasons["k"]
    assert bound["result"] == "1"


@pytest.mark.parametrize(
    ("made_by", "sentence"),
    [
        ({"reconstruct": 99, "pauseflow_nb": "7.0"}, "protocol 99 there (pauseflow_nb 7.0), at most 2 here"),
        (
            {"cloudpickle": {"version": "4.0.1"}},
            f"cloudpickle 4.0.1 there, {cloudpickle_version} here, and only >=3.1,<4",
        ),
        ({"cloudpickle": {"version": "3.0.0"}}, "cloudpickle 3.0.0 there"),
    ],
)
def test_what_a_later_version_wrote_is_refused_naming_both_sides(
    made_by: dict[str, Any], sentence: str, kernels: Kernels
) -> None:
    saved = kernels.save("a = 1")

    other = changed(kernels, saved, made_by=made_by)
    (answer,) = kernels.run({"do": "restore", "folder": kernels.folder, "ref": other["ref"]})

    assert answer["raised"] == "SnapshotMismatch"
    assert sentence in answer["message"]


def test_the_manifest_says_what_wrote_the_pickles(kernels: Kernels) -> None:
    saved = kernels.save("a = 1")

    made_by = json.loads(Path(kernels.folder, saved["ref"]["name"]).read_text())["made_by"]

    assert made_by["reconstruct"] == PROTOCOL
    assert made_by["cloudpickle"] == {"version": cloudpickle_version, "supported": ["3.1", "4"]}


def test_the_supported_versions_of_cloudpickle_are_those_that_are_installed() -> None:
    low, high = cloudpickle_private.SUPPORTED
    text = Path(__file__).parents[2].joinpath("pyproject.toml").read_text()

    assert f'"cloudpickle>={low},<{high}"' in text


def test_private_names_of_cloudpickle_are_used_in_one_module_and_are_there() -> None:
    package = Path(reconstruct.__file__).parent
    using = {path.name for path in package.rglob("*.py") if re.search(r"cloudpickle\._|_private\(", path.read_text())}

    assert using == {"cloudpickle_private.py"}
    assert all(hasattr(cloudpickle, name) for name in cloudpickle_private.PRIVATE_NAMES)
    assert hasattr(cloudpickle.Pickler, "_function_getnewargs")
