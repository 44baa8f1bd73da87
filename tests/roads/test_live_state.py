"""What cells change in a real kernel comes back after a pause, or the step that would lose it fails."""

import pytest
from roads.rider import Rider, returned

pytestmark = pytest.mark.acceptance

ASK = "%%step ask\nlinks = flow.suspend('1h')"


def test_targets_of_comms_and_changed_logging_come_back(rider: Rider) -> None:
    (rider.folder / "shop.py").write_text(
        "import logging\nlogging.getLogger('shop').addHandler(logging.StreamHandler())"
    )
    view = rider.run(
        "got = []\ndef opened(comm, message): got.append(message)\nget_ipython().kernel.comm_manager.register_target('shop', opened)",
        "import shop, logging, sys\nlog = logging.getLogger('shop')\nlog.removeHandler(log.handlers[0]); path = sys.path",
        ASK,
        "%%step checked\n[get_ipython().kernel.comm_manager.targets['shop'] is opened, log.handlers, path is sys.path]",
    )
    assert view["state"] == "suspended", view["error"]

    view = rider.answer(str(view["id"]))

    assert view["state"] == "completed", view["error"]
    assert returned(view, "checked") == [True, [], True]


def test_a_queue_that_a_step_has_filled_is_not_made_again_empty(rider: Rider) -> None:
    view = rider.run(
        "import queue\njobs = queue.Queue()", "%%step fill\njobs.put(1)", ASK, "%%step take\njobs.get_nowait()"
    )

    assert (view["state"], view["error"]["type"]) == ("failed", "Unsaveable")
    assert "variable 'jobs' (queue.Queue), made in cell 2, cannot be saved" in view["error"]["message"]
