"""Snapshots hold the names of secrets; what holds the text of one is made again, or is reported, and never stored."""

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from kernel_snapshot.conftest import Kernels

VALUE = 's3cr3t/"tåken"+7f3a91c0de55'
PART = b"7f3a91c0de55"
KEY = "from pauseflow_nb.kernel.flow import flow\nkey = flow.secret('API')\n"


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAUSEFLOW_SECRET_API", VALUE)


def stored(kernels: Kernels) -> bytes:
    files = [path for path in Path(kernels.folder).rglob("*") if path.is_file()]
    assert files
    return b"".join(path.read_bytes() for path in files)


def is_stored(kernels: Kernels) -> bool:
    found = stored(kernels)
    forms = [PART, VALUE.encode("utf-32-le"), base64.b64encode(VALUE.encode())[:-4], VALUE.encode().hex().encode()]
    return any(form in found for form in forms)


#: What holds the secret itself; a check in a new kernel.
BY_NAME = {
    "a variable": ("x = key", "x == key"),
    "a container": ("x = {'a': [key, (key, {key})]}", "x == {'a': [key, (key, {key})]}"),
    "a closure": ("def make():\n    inner = key\n    return lambda: inner\nx = make()", "x() == key"),
    "a default": ("def x(k=key): return k", "x() == key"),
    "an object": ("class C: pass\nx = C()\nx.key = key", "x.key == key"),
    "a class": ("class x:\n    key = key", "x.key == key"),
    "a data class": (
        "import dataclasses\n@dataclasses.dataclass(frozen=True)\nclass C:\n    key: str\nx = C(key)",
        "x == C(key)",
    ),
    "a partial": ("import functools\nx = functools.partial(str.upper, key)", "x() == key.upper()"),
    "an array of objects": ("import numpy\nx = numpy.array([key], dtype=object)", "x[0] == key"),
    "a data frame of objects": (
        "import pandas\nx = pandas.DataFrame({'k': pandas.Series([key], dtype=object)})",
        "x['k'][0] == key",
    ),
    "an exception": ("x = ValueError(key)", "x.args == (key,)"),
}


@pytest.mark.thorough
def test_what_holds_a_secret_itself_comes_back_with_it(kernels: Kernels) -> None:
    made = [re.sub(r"\bx\b", f"x{number}", source) for number, (source, _) in enumerate(BY_NAME.values())]
    checks = [re.sub(r"\bx\b", f"x{number}", check) for number, (_, check) in enumerate(BY_NAME.values())]
    saved = kernels.save(KEY, *made, coming={"1": "globals()"})

    assert saved["unsaved"] == {}
    assert not is_stored(kernels)
    assert_all = "\n".join(f"assert {check}" for check in checks)
    kernels.restore(saved, f"{assert_all}\nassert type(key).__name__ == 'Secret'\nassert key == {VALUE!r}")


def test_a_new_value_is_fetched_when_variables_come_back(kernels: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = kernels.save(KEY, coming={"1": "key"})
    monkeypatch.setenv("PAUSEFLOW_SECRET_API", "another value")

    kernels.restore(saved, "assert key == 'another value'")


#: What holds a text that was made of it.
AS_TEXT = {
    "a text": "x = f'Bearer {key}'",
    "str": "x = str(key)",
    "bytes": "x = key.encode()",
    "a bytearray": "x = bytearray(key.encode())",
    "base64": "import base64\nx = base64.b64encode(b'ann:' + key.encode())",
    "JSON": "import json\nx = json.dumps({'key': key})",
    "a URL": "import urllib.parse\nx = 'https://x/?k=' + urllib.parse.quote(key)",
    "hex": "x = key.encode().hex()",
    "an object": "class C: pass\nx = C()\nx.headers = {'Authorization': 'Bearer ' + key}",
    "a closure": "def make():\n    inner = 'x' + key\n    return lambda: inner\nx = make()",
    "an exception": "x = ValueError(f'bad key {key}')",
    "a key of a dict": "x = {str(key): 1}",
    "an array": "import numpy\nx = numpy.array([key])",
    "a large array": "import numpy\nx = numpy.array(['-', key] * 100_000)",
    "a data frame": "import pandas\nx = pandas.DataFrame({'k': [f'{key}!']}, dtype='string')",
    "a polars frame": "import polars\nx = polars.DataFrame({'k': [f'{key}!']})",
    "an arrow table": "import pyarrow\nx = pyarrow.table({'k': [str(key)]})",
    "a long list": "x = [str(n) for n in range(300_000)] + [f'{key}!']",
    "a large text": "x = 'y' * 20_000_000 + key",
    "an io buffer": "import io\nx = io.BytesIO(b'--' + key.encode())",
    "a pickle": "import pickle\nx = pickle.dumps(['k', str(key)])",
}


@pytest.mark.thorough
def test_what_holds_the_text_of_a_secret_is_refused_and_the_rest_is_saved(kernels: Kernels) -> None:
    made = {f"x{number}": source for number, source in enumerate(AS_TEXT.values())}
    cells = [re.sub(r"\bx\b", name, source) for name, source in made.items()]
    saved = kernels.save(KEY, *cells, "other = [1]", coming={"1": "globals()"})

    refused = {name for name, what in saved["unsaved"].items() if "the text of a secret" in what["reason"]}
    assert {source for name, source in made.items() if name not in refused} == set()
    assert not is_stored(kernels)
    kernels.restore(saved, "assert other == [1] and key")


@pytest.mark.every(2)
@pytest.mark.parametrize(
    ("source", "fate"),
    [("head = {'Authorization': f'Bearer {key}'}", "replayed"), ("head = {}\nhead['A'] = f'Bearer {key}'", "replayed")],
)
def test_plain_cells_make_a_text_of_a_secret_again(kernels: Kernels, source: str, fate: str) -> None:
    saved = kernels.save(KEY + source, passed={"0": KEY + source}, coming={"1": "head"})

    assert saved["unsaved"]["head"]["fate"] == fate
    assert not is_stored(kernels)
    kernels.restore(saved, f"assert list(head.values()) == ['Bearer ' + {VALUE!r}]")


@pytest.mark.every(3)
@pytest.mark.parametrize(
    ("plain", "step"),
    [
        ("d = {}", "d['A'] = f'Bearer {key}'"),
        ("d = []", "if key:\n    d.append(str(key))"),
        ("d = {'a': []}", "d['a'].append(str(key))"),
        ("class C: pass\nd = C()", "d.head = str(key)"),
        ("d = {'k': str(key)}", "d.pop('k')\nd['l'] = str(key)"),
        ("d = {'k': str(key)}", "del d['k']\nd.setdefault('l', str(key))"),
        ("import collections\nd = collections.deque()", "[d.append(each) for each in [str(key)]]"),
    ],
)
def test_what_a_step_put_into_something_is_not_replayed_without_it(kernels: Kernels, plain: str, step: str) -> None:
    cells = {"0": KEY + plain, "1": f"%%step a\n{step}"}
    saved: dict[str, Any] = kernels.save(KEY + plain, step, passed=cells, coming={"2": "d"})

    assert saved["unsaved"]["d"]["fate"] == "lost"


def test_what_a_step_only_read_is_replayed(kernels: Kernels) -> None:
    cells = {"0": KEY + "d = {'k': str(key)}", "1": "%%step a\nx = d['k'] + d.get('l', '')\nfor each in d: pass"}
    saved = kernels.save(
        *[source.removeprefix("%%step a\n") for source in cells.values()], passed=cells, coming={"2": "d"}
    )

    assert saved["unsaved"]["d"]["fate"] == "replayed"


def test_the_environment_and_settings_come_back_without_the_text(kernels: Kernels) -> None:
    source = "import os\nos.environ['TOKEN'] = key\nos.environ['URL'] = f'https://ann:{key}@x'"
    saved = kernels.save(KEY + source, coming={"1": "key"})

    assert not is_stored(kernels)
    assert any("URL" in note and "the text of a secret" in note for note in saved["notes"]), saved["notes"]
    kernels.restore(saved, f"import os\nassert os.environ['TOKEN'] == {VALUE!r} and 'URL' not in os.environ")
