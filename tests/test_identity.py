"""Who acts: the account that the system knows, whatever the environment says, and one person once."""

import copy
import os
import pickle
import pwd
import subprocess
import sys

import pytest

from pauseflow_nb.identity import Who, describe_actor, facts_of, identify_account, identify_user, list_people

ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.mark.parametrize("variable", ["LOGNAME", "USER", "LNAME", "USERNAME"])
def test_variables_of_the_environment_name_nobody(variable: str) -> None:
    program = "from pauseflow_nb.identity import identify_account; print(identify_account())"
    printed = subprocess.check_output(
        [sys.executable, "-c", program], env={**os.environ, variable: "somebody-else"}, text=True
    )

    assert printed == f"user:{ME}\n"


def test_an_account_without_a_name_is_its_number() -> None:
    if os.getuid() != 0:
        pytest.skip("only root may become another user")
    program = "import os, pwd; from pauseflow_nb.identity import identify_account; os.setuid(54321); print(identify_account())"

    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "user:54321\n"


@pytest.mark.parametrize(("variable", "program"), [("SUDO_USER", "sudo"), ("DOAS_USER", "doas")])
def test_who_called_sudo_is_noted(variable: str, program: str) -> None:
    who = identify_account({variable: "bob"})

    assert (who, facts_of(who)) == (f"user:{ME}", {"known_by": "account", "via": f"{program} by bob"})
    assert describe_actor(who, facts_of(who)) == f"{ME} (account, via {program} by bob)"
    assert identify_account({variable: ME}).via is None
    assert identify_account({variable: ""}).via is None


def test_a_name_may_hold_nothing_that_cannot_be_seen() -> None:
    assert identify_user("bob\n\x1b[2J\u202e") == r"user:bob\x0a\x1b[2J\u202e"
    assert identify_user("bob  ") == r"user:bob\x20\x20"
    assert identify_user("  ") == "user:unknown"
    assert identify_account({"SUDO_USER": "a\x07"}).via == r"sudo by a\x07"


@pytest.mark.parametrize(
    "other",
    ["Bob", "BOB", "bob ", " bob", "\uff42\uff4f\uff42", "b\u200bob", "bob\u202e", "b\u043eb", "bob\n", r"bob\x20"],
)
def test_names_that_look_the_same_count_as_one_person(other: str) -> None:
    assert list_people(f"user:{other}") == list_people("user:bob")
    assert list_people(identify_user(other)) == list_people("user:bob")


def test_names_that_look_different_are_different_people() -> None:
    names = ["bob", "rob", "user:bob", "link", "clock", "bobby", "日本", "ann"]

    assert len({list_people(f"user:{name}") for name in names}) == len(names)
    assert list_people("link") != list_people("user:link")


def test_who_called_sudo_and_the_account_are_one_person() -> None:
    sudo = Who("user:root", "account", "sudo by bob")

    assert list_people(sudo) & list_people("user:bob")
    assert list_people(sudo) & list_people("user:root")
    assert list_people("user:root", "sudo by Bob") & list_people("user:bob")
    assert not list_people(sudo) & list_people("user:eve")


def test_it_survives_a_copy() -> None:
    who = Who("user:root", "account", "sudo by bob")

    for made in (pickle.loads(pickle.dumps(who)), copy.deepcopy(who)):
        assert (made, facts_of(made)) == (who, facts_of(who))
