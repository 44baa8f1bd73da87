"""Who a signed-in request is from: the login's name, or the server's account where a login knows no names."""

import os
import pwd
import uuid

import pytest
from jupyter_server.auth.identity import IdentityProvider, PasswordIdentityProvider, User

from pauseflow_nb.identity import facts_of
from pauseflow_nb.server.login import identify

ME = f"user:{pwd.getpwuid(os.getuid()).pw_name}"


class NamedProvider(IdentityProvider):
    """A login that knows names, as JupyterHub's does."""


def anonymous(username: str = "", display_name: str = "Anonymous Io") -> User:
    return User(username or uuid.uuid4().hex, display_name, display_name, "A")


@pytest.mark.parametrize("provider", [IdentityProvider(), PasswordIdentityProvider(), NamedProvider()])
def test_a_made_up_name_stands_for_the_account_of_the_server(
    provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "somebody-else")
    monkeypatch.setenv("SUDO_USER", "the-operator")
    who = identify(anonymous(), provider)

    assert (who, facts_of(who)) == (ME, {"known_by": "login"})


@pytest.mark.parametrize("provider", [IdentityProvider(), PasswordIdentityProvider()])
def test_a_token_identifies_the_account_of_the_server_whatever_the_display_name(provider: IdentityProvider) -> None:
    assert identify(anonymous(display_name="Bob"), provider) == ME


@pytest.mark.parametrize("name", ["bob", "Bob", "link", "clock", "user:bob", "Anonymous Io", "0123456789abcdef" * 2])
def test_a_login_that_knows_names_gives_its_own(name: str) -> None:
    who = identify(User(name, display_name="Bob"), NamedProvider())

    assert (who, facts_of(who)) == (f"user:{name}", {"known_by": "login"})


def test_a_display_name_alone_makes_no_user_anonymous() -> None:
    assert identify(User("bob", display_name="Anonymous Bob"), NamedProvider()) == "user:bob"
