"""Each provider, as an operator fills it: variables, mounted files, and a keyring that is really written and read."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pauseflow_nb.errors import InvalidValue, MissingSecret
from pauseflow_nb.user_secrets.providers import Providers


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    return folder


@pytest.fixture
def keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A keyring in a file, for this process and for the command that fills it."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyrings.alt.file.PlaintextKeyring")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    keyring = pytest.importorskip("keyring")
    before = keyring.get_keyring()
    keyring.core.init_backend()
    yield
    keyring.set_keyring(before)


def store_in_keyring(name: str, value: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "keyring", "set", "pauseflow", name], input=value, text=True, check=True, timeout=120
    )


@pytest.mark.parametrize(
    ("name", "variable"),
    [("API_KEY", "API_KEY"), ("api_key", "api_key"), ("api_key", "API_KEY"), ("db.pass-word", "DB_PASS_WORD")],
)
def test_a_variable_has_the_value(name: str, variable: str) -> None:
    assert Providers(environment={f"PAUSEFLOW_SECRET_{variable}": " a value\n"}).find(name) == " a value\n"


def test_a_variable_may_name_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from a file\n")
    environment = {"PAUSEFLOW_SECRET_API_KEY_FILE": str(tmp_path / "key")}

    assert Providers(environment=environment).find("API_KEY") == "from a file"
    assert Providers(environment=environment).find("api_key") == "from a file"


@pytest.mark.parametrize("name", ["api_key", "API_KEY"])
def test_a_folder_has_a_file_for_each_secret(mounted: Path, name: str) -> None:
    (mounted / "api_key").write_bytes(b"one\ntwo\r\n")
    assert Providers(mounted, {}).find(name) == "one\ntwo"


def test_a_folder_of_kubernetes_is_followed_through_its_links(mounted: Path) -> None:
    (mounted / "..2026").mkdir()
    (mounted / "..2026" / "API_KEY").write_text("first")
    (mounted / "..data").symlink_to("..2026")
    (mounted / "API_KEY").symlink_to("..data/API_KEY")

    assert Providers(mounted, {}).find("API_KEY") == "first"


def test_a_file_that_changes_is_read_again(mounted: Path) -> None:
    found = []
    for value in ("first", "second"):
        (mounted / "API_KEY").write_text(value)
        found.append(Providers(mounted, {}).find("API_KEY"))

    assert found == ["first", "second"]


@pytest.mark.usefixtures("keyring")
def test_the_keyring_has_the_value_that_its_own_command_stored() -> None:
    store_in_keyring("API_KEY", "from the keyring ä")

    assert Providers(environment={}).find("API_KEY") == "from the keyring ä"
    assert "keyring: " in Providers(environment={}).describe()[1]


@pytest.mark.usefixtures("keyring")
def test_variables_come_before_files_and_files_before_the_keyring(mounted: Path) -> None:
    variables = {"PAUSEFLOW_SECRET_API_KEY": "from a variable"}
    store_in_keyring("API_KEY", "from the keyring")
    found = [Providers(mounted, {}).find("API_KEY")]
    (mounted / "API_KEY").write_text("from a file")
    found += [Providers(mounted, {}).find("API_KEY"), Providers(mounted, variables).find("API_KEY")]

    assert found == ["from the keyring", "from a file", "from a variable"]


@pytest.mark.parametrize("backend", ["keyring.backends.fail.Keyring", "no.such.Backend"])
def test_a_machine_without_a_keyring_says_how_to_provide_the_secret(
    monkeypatch: pytest.MonkeyPatch, mounted: Path, backend: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", backend)
    monkeypatch.setenv("HOME", str(tmp_path))
    source = (
        "import sys\nfrom pathlib import Path\nfrom pauseflow_nb.user_secrets.providers import Providers\n"
        "providers = Providers(Path(sys.argv[1]), {})\nprint(providers.describe())\nproviders.find('API_KEY')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", source, str(mounted)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=dict(os.environ),
    )

    assert "MissingSecret: secret API_KEY: " in ran.stderr
    assert str(mounted) in ran.stderr or "keyring" in ran.stderr
    assert ran.stdout.startswith("(False, ")


def test_a_missing_secret_names_all_places(mounted: Path) -> None:
    with pytest.raises(MissingSecret) as raised:
        Providers(mounted, {}).find("no-key")

    for place in ("PAUSEFLOW_SECRET_NO_KEY", f"{mounted}", "/run/secrets", "keyring set pauseflow no-key"):
        assert place in str(raised.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "its value is empty"),
        (b"\n", "its value is empty"),
        (b"a\0b", "its value is not text"),
        (b"\xff\xfe", "it is not text in UTF-8"),
        (b"x" * (1 << 20), "which is too large for a secret"),
    ],
)
def test_a_file_that_cannot_be_a_secret_is_refused(mounted: Path, content: bytes, problem: str) -> None:
    (mounted / "API_KEY").write_bytes(content)
    with pytest.raises(MissingSecret, match=problem):
        Providers(mounted, {}).find("API_KEY")


def test_a_variable_that_names_a_missing_file_says_so(tmp_path: Path) -> None:
    environment = {"PAUSEFLOW_SECRET_API_KEY_FILE": str(tmp_path / "none")}
    with pytest.raises(MissingSecret, match="there is no such file"):
        Providers(environment=environment).find("API_KEY")


@pytest.mark.parametrize("name", ["../etc/passwd", "/etc/passwd", "a/b", "", ".hidden", "a b", "é", "x" * 129])
def test_no_name_leads_out_of_the_folder(mounted: Path, name: str) -> None:
    with pytest.raises(InvalidValue, match="must be a name such as `API_KEY`"):
        Providers(mounted, {}).find(name)


def test_the_names_are_listed_without_the_values(mounted: Path) -> None:
    (mounted / "api_key").write_text("a-value-1")
    environment = {
        "PAUSEFLOW_SECRET_DB": "a-value-2",
        "PAUSEFLOW_SECRET_MAIL_FILE": "/run/mail",
        "HOME": "/",
    }
    has_any, text = Providers(mounted, environment).describe()

    assert has_any
    assert f"environment: DB, MAIL; {mounted}: api_key" in text
    assert "a-value" not in text
