"""What a step can ask for, and what it gets back."""

import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pauseflow_nb.kernel.flow import flow, steps
from pauseflow_nb.protocol import SuspensionRequest

HeadlessT = Callable[..., Any]

CALLS = [
    "flow.suspend()",
    "flow.rerun(1000)",
    "flow.delay(1000)",
    "flow.sleep('1s')",
    "flow.exit()",
    "flow.export('a', 1)",
    "flow.context",
    "flow.data",
]


def asked(headless: HeadlessT, call: str) -> SuspensionRequest:
    outcome = headless().run(f"%%step a\n{call}").outcome
    assert outcome.kind == "suspended", outcome
    assert outcome.suspension is not None
    request: SuspensionRequest = outcome.suspension
    return request


def refused(headless: HeadlessT, call: str) -> str:
    ran = headless().run(f"%%step a\n{call}")
    assert ran.outcome.kind == "failed"
    return f"{type(ran.error).__name__}: {ran.error}"


@pytest.mark.parametrize("call", CALLS)
def test_outside_a_step_a_call_says_that_it_needs_one(kernel: Any, call: str) -> None:
    ran = kernel.run(call)

    assert type(ran.error).__name__ == "NotInStep"
    assert "%%step NAME" in ran.text
    assert "Traceback" not in ran.text


def test_after_its_step_a_call_is_outside_of_it(kernel: Any) -> None:
    kernel.run("%%step a\ndef later(): flow.suspend()")

    assert type(kernel.run("later()").error).__name__ == "NotInStep"


@pytest.mark.parametrize(
    ("argument", "seconds"),
    [
        ("", 86_400),
        ("1500", 1.5),
        ("'7d'", 7 * 86_400),
        ("__import__('datetime').timedelta(minutes=2)", 120),
        ("1", 0.001),
        ("'52w'", 364 * 86_400),
        ("None", None),
    ],
)
@pytest.mark.filterwarnings("ignore:.* is milliseconds")
def test_suspend_takes_milliseconds_text_timedelta_or_none(
    headless: HeadlessT, argument: str, seconds: float | None
) -> None:
    assert asked(headless, f"flow.suspend({argument})").seconds == seconds


@pytest.mark.parametrize("argument", ["0", "-5", "0.5", "float('nan')", "float('inf')", "'soon'", "'400d'", "True"])
def test_suspend_refuses_what_is_not_between_a_millisecond_and_a_year(headless: HeadlessT, argument: str) -> None:
    assert "InvalidDuration: timeout=" in refused(headless, f"flow.suspend({argument})")


def test_suspend_cancels_on_timeout_and_goes_on_with_the_next_cell_if_nothing_is_said(headless: HeadlessT) -> None:
    assert asked(headless, "flow.suspend()") == SuspensionRequest("suspend", seconds=86_400.0, on_timeout="cancel")


def test_suspend_hands_over_everything_it_is_given(headless: HeadlessT) -> None:
    call = (
        "flow.suspend('1h', data={'n': (1, 2)}, on_timeout='resume', default={'ok': False}, then='rerun', "
        "title='Model', message='Look at it.')"
    )

    assert asked(headless, call) == SuspensionRequest(
        "suspend",
        seconds=3600.0,
        on_timeout="resume",
        then="rerun",
        data={"n": [1, 2]},
        default={"ok": False},
        title="Model",
        message="Look at it.",
    )


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ("flow.suspend(on_timeout='explode')", "on_timeout='explode' must be one of 'cancel', 'resume', 'fail'"),
        ("flow.suspend(then='stop')", "then='stop' must be one of 'continue', 'rerun'"),
        ("flow.suspend(title=3)", "title=3 must be text or None"),
        ("flow.suspend(message=b'x')", "must be text or None"),
        ("flow.suspend(default=1)", 'only with on_timeout="resume"'),
        ("flow.suspend(data={'when': [object()]})", "data must be JSON, but holds an object at ['when'][0]"),
        ("flow.suspend(on_timeout='resume', default={1: 2})", "default must be JSON, but holds an int as a key at [1]"),
        ("flow.rerun(1, {'x': {1}})", "context must be JSON, but holds a set at ['x']"),
        ("flow.rerun(1, None, -1)", "max_retries=-1 must be a whole number"),
        ("flow.rerun(1, None, 2.5)", "max_retries=2.5 must be a whole number"),
        ("flow.rerun(1, None, True)", "max_retries=True must be a whole number"),
        ("flow.rerun(0)", "delay=0 must be between"),
        ("flow.export('rows', [1, 2.0, {'a': object}])", "export 'rows' must be JSON, but holds a type at [2]['a']"),
        ("flow.export('rows', float('nan'))", "export 'rows' must be JSON, but holds nan"),
        ("flow.export(3, 1)", "name=3 must be text"),
        ("flow.export('$return_value', 1)", "does not begin with $"),
        ("flow.exit(3)", "reason=3 must be text or None"),
        ("flow.delay(None)", "ms=None must be text"),
        ("flow.sleep(90)", 'span=90 has no unit: write "90s" or "90ms", or a timedelta'),
        ("flow.sleep_until('tomorrow')", "must be a datetime"),
        ("flow.sleep_until(__import__('datetime').datetime(2030, 1, 1))", "has no time zone"),
        ("flow.suspend(surprise=1)", "flow.suspend() has no argument 'surprise'"),
        ("flow.unheard_of()", "flow has no 'unheard_of'"),
    ],
)
def test_a_bad_argument_is_named_where_the_call_stands(headless: HeadlessT, call: str, sentence: str) -> None:
    assert sentence in refused(headless, call)


def test_an_error_at_a_call_shows_the_cell_and_no_line_of_ours(kernel: Any) -> None:
    ran = kernel.run("%%step a\nflow.sleep(90)")

    assert "----> 2 flow.sleep(90)" in ran.text
    assert "flow.py" not in ran.text


def test_rerun_runs_the_same_step_again_with_context_and_budget(headless: HeadlessT) -> None:
    assert asked(headless, "flow.rerun(1000, {'job': 7}, 3)") == SuspensionRequest(
        "rerun", seconds=1.0, then="rerun", context={"job": 7}, max_retries=3
    )


def test_rerun_allows_ten_retries_if_nothing_is_said(headless: HeadlessT) -> None:
    assert asked(headless, "flow.rerun('30s')").max_retries == 10


def test_rerun_without_a_delay_waits_for_its_link_alone(headless: HeadlessT) -> None:
    assert asked(headless, "flow.rerun(None)").seconds is None


@pytest.mark.parametrize(
    ("call", "seconds"),
    [
        ("flow.delay(1500)", 1.5),
        ("flow.delay('2m')", 120),
        ("flow.sleep('90s')", 90),
        ("flow.sleep(__import__('datetime').timedelta(hours=1))", 3600),
    ],
)
def test_a_delay_goes_on_with_the_next_cell(headless: HeadlessT, call: str, seconds: float) -> None:
    assert asked(headless, call) == SuspensionRequest("delay", seconds=float(seconds))


def test_sleep_until_counts_from_the_end_of_the_step(headless: HeadlessT) -> None:
    when = datetime.now(UTC) + timedelta(hours=1)
    call = f"import datetime, time\nflow.sleep_until(datetime.datetime.fromisoformat('{when}'))\ntime.sleep(0.2)"

    seconds = asked(headless, call).seconds

    assert seconds is not None
    left_now = (when - datetime.now(UTC)).total_seconds()
    assert left_now <= seconds <= 3599.8


def test_sleep_until_the_past_wakes_at_once(headless: HeadlessT) -> None:
    call = "import datetime\nflow.sleep_until(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))"

    assert asked(headless, call).seconds == 0.001


def test_sleep_until_refuses_more_than_a_year(headless: HeadlessT) -> None:
    call = "import datetime\nflow.sleep_until(datetime.datetime(2999, 1, 1, tzinfo=datetime.UTC))"

    assert "within a year" in refused(headless, call)


@pytest.mark.parametrize("call", ["suspend()", "rerun(1000)", "delay(1000)", "sleep('1s')"])
def test_a_call_returns_its_links_at_once_as_items_and_attributes(headless: HeadlessT, call: str) -> None:
    kernel = headless()
    kernel.run(f"%%step a\nlinks = flow.{call}\nurl = links['resume_url']\nattribute = links.resume_url")

    assert kernel.names["url"] == kernel.names["attribute"] == "http://127.0.0.1:7287/pauseflow/resume/a-0-token"
    assert set(kernel.names["links"]) == {"resume_url", "cancel_url", "approval_url"}


def test_links_hide_themselves_wherever_the_whole_mapping_is_shown(headless: HeadlessT) -> None:
    kernel = headless()
    ran = kernel.run("%%step a\nlinks = flow.suspend()\nprint(links, [links], f'{links}')\ndisplay(links)\nlinks")

    assert "token" not in ran.shown
    assert "resume_url" in ran.shown
    assert "token" not in ran.outcome.to_json()
    assert ran.outcome.exports["$return_value"] is None


def test_links_are_hidden_in_exports_and_returned_data(headless: HeadlessT) -> None:
    ran = headless().run("%%step a\nlinks = flow.suspend()\nflow.export('all', links)\n{'links': [links]}")

    exports = ran.outcome.exports
    assert exports["all"].keys() == {"resume_url", "cancel_url", "approval_url"}
    assert exports["$return_value"]["links"][0].keys() == exports["all"].keys()
    assert "token" not in ran.outcome.to_json()


def test_a_name_that_links_do_not_have_is_an_attribute_error(kernel: Any) -> None:
    kernel.run("%%step a\nlinks = flow.suspend()")

    with pytest.raises(AttributeError, match="there is no link 'url'"):
        _ = kernel.names["links"].url


def test_the_last_call_wins_with_a_warning_and_both_got_the_same_links(headless: HeadlessT) -> None:
    kernel = headless()
    with pytest.warns(UserWarning, match=r"flow.delay\(\) replaces flow.suspend\(\)") as warned:
        ran = kernel.run("%%step a\none = flow.suspend(data=1)\ntwo = flow.delay(2000)")

    # Whatever else warns while this runs, a file closed late for instance, is not ours.
    (ours,) = [each for each in warned if "replaces" in str(each.message)]
    assert "ipython-input" in ours.filename
    assert ran.outcome.suspension == SuspensionRequest("delay", seconds=2.0)
    assert "flow.delay() replaces flow.suspend()" in ran.outcome.notes[0]
    assert kernel.names["one"] == kernel.names["two"]
    assert "$suspend_data" not in ran.outcome.exports


def test_the_warning_points_to_the_cell_whatever_is_called(kernel: Any) -> None:
    with pytest.warns(UserWarning, match="replaces") as warned:
        kernel.run("%%step a\nflow.suspend()\nflow.sleep('1s')\nflow.suspend()\nflow.rerun(1000)")

    assert [w.lineno for w in warned if "replaces" in str(w.message)] == [3, 4, 5]


def test_exit_does_not_raise_and_beats_suspend(headless: HeadlessT) -> None:
    kernel = headless()
    ran = kernel.run("%%step a\nflow.exit('nothing to do')\nflow.suspend()\nx = 'the rest ran'")

    assert (ran.outcome.kind, ran.outcome.exit_reason) == ("exited", "nothing to do")
    assert ran.outcome.suspension is None
    assert kernel.names["x"] == "the rest ran"
    assert type(ran.error).__name__ == "Exited"


def test_the_objects_come_back_from_a_pickle_as_the_live_ones(kernel: Any) -> None:
    assert pickle.loads(pickle.dumps(flow)) is flow
    assert pickle.loads(pickle.dumps(steps)) is steps
    assert pickle.loads(pickle.dumps(kernel.session)) is kernel.session
