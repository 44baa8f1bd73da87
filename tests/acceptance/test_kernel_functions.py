"""Functions that ipykernel and IPython put in the place of Python's own: in the next kernel they are that one's."""

import pytest
from acceptance.road import Road
from roads.rider import LOG

pytestmark = pytest.mark.acceptance

TAKE = """%%step take
import getpass as module
from getpass import getpass
ask, kernel, held = input, get_ipython().kernel, {'secret': module.getpass}
show, leave, write = display, exit, __import__('sys').stdout.write
publish, method, opened = get_ipython().display_pub, get_ipython().run_cell, open
flow.suspend()"""
USE = """%%step use
shell = get_ipython()
log(str(getpass.__self__ is shell.kernel is kernel and held['secret'].__func__ is getpass.__func__))
log(str(ask.__self__ is shell.kernel and ask == input))
log(str(publish is shell.display_pub and method.__self__ is shell))
log(str(leave is exit or type(leave) is type(exit)))
log(str(callable(opened) and show is display and callable(write)))"""


def test_input_and_getpass_are_those_of_the_new_kernel(road: Road) -> None:
    view = road.run(LOG, TAKE, USE)

    assert view["kernel_bound"] == []
    assert road.answer(view["id"])["state"] == "completed"
    assert road.log() == ["True"] * 5
