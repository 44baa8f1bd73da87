"""`--retries` and `--timeout`."""

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import links

HeadlessT = Callable[..., Any]

#: Fails until the third attempt.
FLAKY = "n = globals().get('n', 0) + 1\nif n < 3: raise ValueError(f'attempt {n}')\nn"


def test_a_step_that_raises_is_tried_again_with_the_variables_as_they_are(kernel: Any) -> None:
    ran = kernel.run(f"%%step a --retries 3\n{FLAKY}")

    assert (ran.ok, ran.value) == (True, 3)


def test_each_failed_attempt_is_one_calm_line(kernel: Any) -> None:
    ran = kernel.run(f"%%step a --retries 3 --retry-delay 20ms\n{FLAKY}")

    assert "Traceback" not in ran.text
    assert [d["text/plain"] for d in ran.displays] == [
        "attempt 1 of 4 failed: ValueError: attempt 1; the next starts in 20 ms",
        "attempt 2 of 4 failed: ValueError: attempt 2; the next starts in 20 ms",
    ]


def test_after_the_last_attempt_the_step_fails_with_one_traceback(headless: HeadlessT) -> None:
    kernel = headless()
    ran = kernel.run("%%step a --retries 1\nprint('tri' 'ed')\n1 / 0")

    assert ran.text.count("tried") == 2
    assert ran.text.count("Traceback") == 1
    assert "pauseflow" not in ran.text
    assert ran.outcome.kind == "failed"
    assert ran.outcome.failure is not None
    assert ran.outcome.failure.type == "ZeroDivisionError"


def test_without_retries_a_step_is_tried_once(kernel: Any) -> None:
    assert kernel.run("%%step a\nprint('tri' 'ed')\n1 / 0").text.count("tried") == 1


def test_waits_between_attempts_grow_by_the_backoff(kernel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)

    kernel.run("%%step a --retries 3 --retry-delay 2s --backoff 3\n1 / 0")

    assert waited == [2, 6, 18]


def test_each_attempt_has_links_of_its_own_and_says_which_it_used(headless: HeadlessT) -> None:
    kernel = headless()
    ran = kernel.run(f"%%step a --retries 3\nurl = flow.suspend().resume_url\n{FLAKY}")

    assert ran.outcome.kind == "suspended"
    assert ran.outcome.ordinal == 2
    assert kernel.names["url"] == links("a", 2)["resume_url"]


def test_what_a_failed_attempt_asked_for_and_published_is_void(headless: HeadlessT) -> None:
    source = (
        "%%step a --retries 2\nn = globals().get('n', 0) + 1\n"
        "if n == 1:\n    flow.suspend(); flow.export('old', 1); flow.exit()\n    1 / 0\nflow.export('new', n)"
    )
    outcome = headless().run(source).outcome

    assert outcome.kind == "finished"
    assert outcome.exports == {"new": 2, "$return_value": None}
    assert outcome.notes[0].startswith("attempt 1 of 3 failed: ZeroDivisionError")


def test_an_attempt_knows_its_number_and_keeps_its_run(kernel: Any) -> None:
    kernel.run(f"%%step a --retries 3\nrun = flow.context.run\n{FLAKY}")

    assert (kernel.names["run"].attempt, kernel.names["run"].runs) == (3, 1)


def test_an_interrupt_is_not_tried_again(kernel: Any) -> None:
    ran = kernel.run("%%step a --retries 3\nprint('tri' 'ed')\nraise KeyboardInterrupt")

    assert ran.text.count("tried") == 1
    assert isinstance(ran.error, KeyboardInterrupt)


def test_an_error_under_a_cell_magic_is_tried_again(kernel: Any) -> None:
    ran = kernel.run(f"%%step a --retries 3\n%%capture\n{FLAKY}")

    assert ran.ok
    assert kernel.names["n"] == 3


def test_attempts_may_await(kernel: Any) -> None:
    assert kernel.run(f"%%step a --retries 3\nimport asyncio\nawait asyncio.sleep(0)\n{FLAKY}").value == 3


def test_a_handler_is_tried_again(kernel: Any) -> None:
    source = "%%step a --retries 3\ndef handler(pd):\n    global n\n" + "".join(
        f"    {line}\n" for line in FLAKY.replace("\nn", "\nreturn n").splitlines()
    )

    assert kernel.run(source).value == 3


@pytest.mark.parametrize(
    "body",
    [
        "import time\ntime.sleep(600)",
        "while True: pass",
        "import subprocess\nsubprocess.run(['sleep', '600'])",
        "import threading\nthreading.Event().wait(600)",
        "import asyncio\nawait asyncio.sleep(600)",
        "import asyncio, time\nawait asyncio.sleep(0)\ntime.sleep(600)",
        "import time\ntry:\n    time.sleep(600)\nexcept Exception:\n    pass",
    ],
)
def test_a_step_beyond_its_timeout_is_interrupted_wherever_it_is(headless: HeadlessT, body: str) -> None:
    ran = headless().run(f"%%step a --timeout 500ms\n{body}")

    assert str(ran.error) == "step 'a' ran longer than its --timeout of 500 ms"
    assert ran.outcome.failure is not None
    assert ran.outcome.failure.type == "StepTimeout"
    assert ran.text.count("Traceback") == 1
    assert "pauseflow" not in ran.text


def test_a_step_that_swallows_the_interruption_has_failed_all_the_same(headless: HeadlessT) -> None:
    source = "%%step a --timeout 50ms\nimport time\ntry:\n    time.sleep(600)\nexcept BaseException:\n    x = 1"
    kernel = headless()
    ran = kernel.run(source)

    assert ran.outcome.kind == "failed"
    assert type(ran.error).__name__ == "StepTimeout"
    assert kernel.names["x"] == 1


def test_a_step_within_its_timeout_is_left_alone(kernel: Any) -> None:
    assert kernel.run("%%step a --timeout 60s\n7").value == 7
    for thread in threading.enumerate():
        if thread.name == "pauseflow-timeout":
            thread.join(5)
            assert not thread.is_alive()


def test_the_way_to_interrupt_is_put_back(kernel: Any) -> None:
    before = signal.getsignal(signal.SIGINT)

    kernel.run("%%step a --timeout 60s\n7")
    kernel.run("%%step a --timeout 20ms\nimport time; time.sleep(600)")
    kernel.run("%%step a --timeout 60s\n1 / 0")

    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_by_the_user_stays_one_while_a_timeout_counts(kernel: Any) -> None:
    # A process that a shell started in the background ignores the signal; a kernel does not.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        ran = kernel.run("%%step a --timeout 60s\nimport signal\nsignal.raise_signal(signal.SIGINT)\nx = 1")
    finally:
        signal.signal(signal.SIGINT, before)

    assert type(ran.error) is KeyboardInterrupt
    assert "x" not in kernel.names


def test_each_attempt_has_the_whole_timeout(kernel: Any) -> None:
    source = (
        "%%step a --timeout 300ms --retries 1\nimport time\nn = globals().get('n', 0) + 1\n"
        "time.sleep(600 if n == 1 else 0.1)\nn"
    )
    ran = kernel.run(source)

    assert ran.value == 2
    assert "attempt 1 of 2 failed: StepTimeout" in ran.displays[0]["text/plain"]


def test_in_a_thread_a_timeout_is_judged_when_the_step_ends(kernel: Any) -> None:
    ran: list[Any] = []
    source = "%%step a --timeout 20ms\nimport time\ntime.sleep(0.3)\nx = 1"
    thread = threading.Thread(target=lambda: ran.append(kernel.run(source)))

    thread.start()
    thread.join()

    assert type(ran[0].error).__name__ == "StepTimeout"
    assert kernel.names["x"] == 1
