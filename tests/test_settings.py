"""Where settings come from, in which order, and what is said about bad ones."""

import pickle
from pathlib import Path

import pytest

from pauseflow_nb.errors import InvalidSetting
from pauseflow_nb.settings import FILE_NAME, Settings


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    return folder


def test_nothing_needs_to_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))

    settings = Settings.load(environment={})
    assert settings.data_dir == tmp_path / "pauseflow"
    assert settings.db == f"sqlite:///{tmp_path}/pauseflow/pauseflow.db"
    assert settings.storage == f"{tmp_path}/pauseflow/files"
    assert (settings.public_url, settings.port, settings.links, settings.workers) == (None, 7287, "confirm", 2)
    assert settings.max_body == 1024**3
    assert settings.origin("port") == "default"


def test_nothing_is_created(data_dir: Path) -> None:
    Settings.load(flags={"data_dir": data_dir / "new"}, environment={})

    assert not (data_dir / "new").exists()


def test_the_first_that_says_something_holds(data_dir: Path, beside: Path) -> None:
    (data_dir / FILE_NAME).write_text('port = 4\nworkers = 4\nlinks = "open"\npublic_url = "http://four"\nquota = 4')
    (beside / FILE_NAME).write_text('port = 3\nworkers = 3\nlinks = "strict"\npublic_url = "http://three"')
    environment = {"PAUSEFLOW_DATA_DIR": str(data_dir), "PAUSEFLOW_PORT": "2", "PAUSEFLOW_WORKERS": "2"}

    settings = Settings.load(flags={"port": 1}, environment=environment, beside=beside)
    assert (settings.port, settings.workers, settings.links, settings.quota) == (1, 2, "strict", 4)
    assert settings.public_url == "http://three"
    assert [settings.origin(name) for name in ("port", "workers", "links", "quota", "max_body")] == [
        "flag",
        "environment",
        str(beside / FILE_NAME),
        str(data_dir / FILE_NAME),
        "default",
    ]


def test_flags_that_were_not_given_say_nothing(data_dir: Path) -> None:
    settings = Settings.load(
        flags={"port": None}, environment={"PAUSEFLOW_DATA_DIR": str(data_dir), "PAUSEFLOW_PORT": "99"}
    )

    assert settings.port == 99


def test_an_empty_variable_says_nothing(data_dir: Path) -> None:
    assert Settings.load(flags={"data_dir": data_dir}, environment={"PAUSEFLOW_PORT": ""}).port == 7287


def test_other_variables_are_not_ours(data_dir: Path) -> None:
    Settings.load(flags={"data_dir": data_dir}, environment={"PAUSEFLOW_SOMETHING": "x", "PORT": "x"})


def test_the_data_directory_is_absolute_wherever_it_came_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    for given in ("~/store", "store"):
        settings = Settings.load(environment={"PAUSEFLOW_DATA_DIR": given})
        assert settings.data_dir == tmp_path / "store"
        assert settings.db == f"sqlite:///{tmp_path}/store/pauseflow.db"
        assert settings.origin("data_dir") == "environment"


def test_a_data_directory_named_beside_the_notebook_lies_beside_it(beside: Path) -> None:
    (beside / FILE_NAME).write_text('data_dir = "store"')

    settings = Settings.load(environment={}, beside=beside)
    assert settings.data_dir == beside / "store"
    assert settings.origin("data_dir") == str(beside / FILE_NAME)


def test_a_data_directory_is_a_path(beside: Path) -> None:
    (beside / FILE_NAME).write_text("data_dir = 5")

    with pytest.raises(InvalidSetting, match="must be the path of a folder"):
        Settings.load(environment={}, beside=beside)


def test_the_file_in_the_data_directory_cannot_move_it(data_dir: Path) -> None:
    (data_dir / FILE_NAME).write_text('data_dir = "/elsewhere"')

    with pytest.raises(InvalidSetting, match="cannot name another data directory"):
        Settings.load(environment={"PAUSEFLOW_DATA_DIR": str(data_dir)})


@pytest.mark.parametrize(("size", "count"), [("10 MiB", 10 * 1024**2), ("1GB", 10**9), ("4096", 4096)])
def test_sizes_are_read_as_people_write_them(data_dir: Path, size: str, count: int) -> None:
    settings = Settings.load(
        flags={"data_dir": data_dir}, environment={"PAUSEFLOW_MAX_BODY": size, "PAUSEFLOW_QUOTA": size}
    )

    assert (settings.max_body, settings.quota) == (count, count)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "many"),
        ("PORT", "70000"),
        ("PORT", "-1"),
        ("WORKERS", "0"),
        ("WORKERS", "1.5"),
        ("LINKS", "closed"),
        ("MAX_BODY", "big"),
        ("MAX_BODY", "-5"),
        ("QUOTA", "all"),
        ("PUBLIC_URL", "example.org"),
        ("PUBLIC_URL", "ftp://example.org"),
        ("PUBLIC_URL", "https://"),
        ("PUBLIC_URL", "https://example.org/?a=1"),
        ("PUBLIC_URL", "https://example.org/#top"),
    ],
)
def test_a_bad_value_is_named_with_its_origin(data_dir: Path, variable: str, value: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        Settings.load(flags={"data_dir": data_dir}, environment={f"PAUSEFLOW_{variable}": value})

    assert caught.value.name == variable.lower()
    assert str(caught.value).startswith(f"setting {variable.lower()}={value!r} (from environment): ")


def test_a_bad_value_is_refused_in_words_for_users(data_dir: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"must be a whole number$"):
        Settings.load(flags={"data_dir": data_dir}, environment={"PAUSEFLOW_PORT": "many"})


@pytest.mark.parametrize("value", ["-5", "5 XB", "many"])
def test_a_number_of_bytes_that_cannot_be_read_is_explained_with_an_example(data_dir: Path, value: str) -> None:
    with pytest.raises(InvalidSetting, match=r"must be a number of bytes, such as 500 MB$"):
        Settings.load(flags={"data_dir": data_dir}, environment={"PAUSEFLOW_BYTES_PER_USER": value})


def test_a_word_that_is_no_setting_is_named(data_dir: Path) -> None:
    (data_dir / FILE_NAME).write_text("prot = 80")

    with pytest.raises(InvalidSetting, match="setting prot=80") as caught:
        Settings.load(flags={"data_dir": data_dir}, environment={})
    assert caught.value.origin == str(data_dir / FILE_NAME)


@pytest.mark.parametrize("url", ["memory://", "memory://x/y", "simplecache::memory://x"])
def test_a_storage_that_ends_with_the_process_is_refused(data_dir: Path, url: str) -> None:
    with pytest.raises(
        InvalidSetting, match=r"\(from flag\): keeps files in the memory of one process.*: use a folder"
    ):
        Settings.load(flags={"data_dir": data_dir, "storage": url}, environment={})


@pytest.mark.parametrize("content", [b"port = ", b"\xff\xfe", b"[port"])
def test_a_file_that_cannot_be_read_is_named(data_dir: Path, content: bytes) -> None:
    (data_dir / FILE_NAME).write_bytes(content)

    with pytest.raises(InvalidSetting) as caught:
        Settings.load(flags={"data_dir": data_dir}, environment={})
    assert caught.value.origin == str(data_dir / FILE_NAME)
    assert str(caught.value).startswith(f"{data_dir / FILE_NAME} cannot be read: ")


def test_a_data_directory_that_is_a_file_holds_no_settings(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")

    # The store, which is opened next, says what is wrong with the folder.
    assert Settings.load(flags={"data_dir": tmp_path / "data"}, environment={}).origin("port") == "default"


def test_the_file_is_utf8_on_every_machine(data_dir: Path) -> None:
    (data_dir / FILE_NAME).write_bytes('public_url = "https://zoë.example"'.encode())

    assert Settings.load(flags={"data_dir": data_dir}, environment={}).public_url == "https://zoë.example"


def test_settings_cannot_be_changed(data_dir: Path) -> None:
    settings = Settings.load(flags={"data_dir": data_dir}, environment={})

    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1


def test_settings_survive_pickling_with_their_origins(data_dir: Path) -> None:
    settings = Settings.load(flags={"data_dir": data_dir, "port": 9}, environment={})

    back = pickle.loads(pickle.dumps(settings))
    assert back == settings
    assert back.origin("port") == "flag"


def test_a_public_url_may_have_a_path_and_needs_no_slash(data_dir: Path) -> None:
    for url in ("https://hub.example/user/zoe/", "http://127.0.0.1:8888/lab"):
        assert Settings.load(flags={"data_dir": data_dir, "public_url": url}, environment={}).public_url == url.rstrip(
            "/"
        )


@pytest.mark.parametrize("name", ["data_dir", "templates"])
@pytest.mark.parametrize("path", ["/" + "a" * 5000, "a" * 300, "~nobody-has-this-name/x", "a\0b", "~\0", "/\ud800"])
def test_a_path_where_nothing_can_be_is_refused(tmp_path: Path, name: str, path: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{name}=.*must be the path of a folder"):
        Settings.load(flags={"data_dir": tmp_path, name: path}, environment={})


def test_a_file_of_settings_that_is_nested_too_deeply_is_refused(data_dir: Path) -> None:
    (data_dir / FILE_NAME).write_text("x = " + "[" * 100_000)

    with pytest.raises(InvalidSetting, match="cannot be read"):
        Settings.load(flags={"data_dir": data_dir}, environment={})
