"""What a URL needs is named before anything is tried with it."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from pauseflow_nb.errors import InvalidNotebook, InvalidParameter, StoreUnavailable
from pauseflow_nb.kernel.snapshot.storage.folder import open_folder
from pauseflow_nb.remote_files import open_filesystem
from pauseflow_nb.runner.notebook import freeze
from pauseflow_nb.runner.output_file import require_writable
from pauseflow_nb.store.files import Files

#: Those that are installed where the tests run are left out.
MISSING = [
    ("s3://bucket/folder", "s3:// needs a package that is not installed: run `pip install 'pauseflow_nb[s3]'`"),
    ("s3a://bucket", "s3a:// needs a package that is not installed: run `pip install 'pauseflow_nb[s3]'`"),
    ("gs://bucket", "gs:// needs a package that is not installed: run `pip install gcsfs`"),
    ("gcs://bucket", "gcs:// needs a package that is not installed: run `pip install gcsfs`"),
    ("abfs://box/folder", "abfs:// needs a package that is not installed: run `pip install adlfs`"),
    ("az://box", "az:// needs a package that is not installed: run `pip install adlfs`"),
    ("oss://bucket", "oss:// needs a package that is not installed: run `pip install ossfs`"),
    ("simplecache::s3://bucket", "s3:// needs a package that is not installed: run `pip install 'pauseflow_nb[s3]'`"),
    ("r2://bucket", "there is no storage r2://: use a folder, or a URL such as s3://BUCKET/FOLDER"),
]
CLIENTS = {"pauseflow_nb[s3]": "s3fs", "gcsfs": "gcsfs", "adlfs": "adlfs", "ossfs": "ossfs"}
MISSING = [
    (url, sentence)
    for url, sentence in MISSING
    if not any(name in sentence and find_spec(module) for name, module in CLIENTS.items())
]


@pytest.mark.parametrize(("url", "sentence"), MISSING)
def test_a_client_that_is_missing_is_named_with_its_package(url: str, sentence: str) -> None:
    files = Files(url)
    for act in (
        lambda: open_filesystem(url),
        lambda: open_folder(url),
        files.require_client,
        lambda: files.read("a"),
        lambda: files.write("a", b"1"),
    ):
        with pytest.raises(StoreUnavailable) as raised:
            act()
        assert str(raised.value).count("cannot be used") == 1
        assert sentence in str(raised.value)


@pytest.mark.parametrize(("url", "sentence"), MISSING)
def test_so_is_that_of_a_notebook_and_of_an_output(url: str, sentence: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        require_writable(f"{url}/out.ipynb")
    with pytest.raises(InvalidNotebook) as unread:
        freeze(f"{url}/in.ipynb")

    assert sentence in str(refused.value)
    assert sentence in str(unread.value)
    assert "the store" not in str(unread.value)


def test_what_needs_nothing_is_opened(tmp_path: Path) -> None:
    assert open_filesystem(f"file://{tmp_path}/a")[1] == f"{tmp_path}/a"
    assert open_filesystem("memory://a/b")[1] == "/a/b"
