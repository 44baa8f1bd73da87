"""Every exception survives what processes do with it, and tells its reader something."""

import ast
import copy
import errno
import inspect
import pickle
from pathlib import Path

import pytest

from pauseflow_nb import errors
from pauseflow_nb.errors import (
    AllowanceReached,
    AmbiguousExecution,
    AmbiguousSuspension,
    BodyTooLarge,
    Cancelled,
    CannotCheck,
    CannotHandOver,
    CannotRetry,
    CannotStart,
    CannotSuspend,
    CheckersBusy,
    DiskNearlyFull,
    InvalidAnswer,
    InvalidBody,
    InvalidDuration,
    InvalidImport,
    InvalidNotebook,
    InvalidOutput,
    InvalidParameter,
    InvalidParameters,
    InvalidRecord,
    InvalidSchedule,
    InvalidSetting,
    InvalidStep,
    InvalidValue,
    KernelDied,
    KernelLost,
    KernelNotReady,
    KernelUnavailable,
    LinkSpent,
    LinkWithdrawn,
    MissingSecret,
    NoChecker,
    NodeFailed,
    NodeUnavailable,
    NoRoomForBody,
    NoServer,
    NoStore,
    NotAllowed,
    NotComparable,
    NotDelivered,
    NotebookGone,
    NotebookNotFound,
    NotInStep,
    NotJSON,
    NotRestored,
    NotStorable,
    NotSuspended,
    NoWorker,
    OutputInUse,
    PauseflowError,
    PauseTimeout,
    PortInUse,
    QuestionChanged,
    QuotaReached,
    SnapshotDamaged,
    SnapshotError,
    SnapshotMismatch,
    StorageFull,
    StoreDamaged,
    StoreUnavailable,
    TooManyAnswers,
    TooManyStarts,
    TooManyWaiting,
    TriggerPaused,
    UnknownCharset,
    UnknownExecution,
    UnknownKey,
    UnknownLink,
    UnknownTrigger,
    Unsaveable,
)
from pauseflow_nb.suggestions import order_by_likeness

EXAMPLES: list[PauseflowError] = [
    AmbiguousExecution("ab", ["ab12", "ab34"]),
    AmbiguousSuspension("k3v9", ["approve", "sign"]),
    BodyTooLarge(1024),
    Cancelled("ask", "link", "someone with the link"),
    CannotRetry("abc", "running"),
    CannotSuspend("abc", "completed"),
    InvalidAnswer([{"path": ["amount"], "message": "must be at least 3"}]),
    InvalidBody("application/json", "is not JSON"),
    AllowanceReached("user ann", "5", "5", "executions_per_user"),
    AllowanceReached("user ann", "12.0 MB", "10.0 MB", "bytes_per_user"),
    CannotHandOver("train", ["lock (lock) was not saved: it is a lock."]),
    UnknownCharset("the body", "punycode"),
    TooManyAnswers("ex1"),
    CannotCheck("takes too long to be checked"),
    NoChecker("Resource temporarily unavailable"),
    CheckersBusy(),
    InvalidDuration("timeout", "soon", "cannot be read"),
    InvalidNotebook("a.ipynb", "it is a picture"),
    InvalidOutput("/srv/out.ipynb", "is a folder: name a file in it"),
    InvalidParameter("alpha", "is not a number"),
    MissingSecret("API_KEY", "its value is empty", 2),
    InvalidSetting("port", "x", "environment", "is not a number"),
    InvalidStep("trigger", "this name is reserved", 2),
    InvalidValue("on_timeout", "explode", "must be cancel, resume or fail"),
    KernelDied(137),
    KernelDied(None),
    KernelLost("k3v9", ["lock (_thread.lock, made in cell 2; it belongs to this process)"], "make"),
    KernelLost("k3v9", ["lock (_thread.lock; it belongs to this process)"], None),
    KernelNotReady("python3", "its process ended while it started (status -9)"),
    InvalidImport("export.zip", "it contains no Pipedream workflow"),
    KernelUnavailable("julia", "it is not installed"),
    NodeUnavailable("there is no `node` on the PATH"),
    NodeFailed("code", "TypeError: x is not a function", "4:7"),
    LinkSpent("resume_url"),
    LinkSpent(),
    LinkWithdrawn(),
    NoRoomForBody(),
    NoServer(),
    NoStore("/srv/pauseflow.db", "PAUSEFLOW_DATA_DIR"),
    NoStore("/srv/pauseflow.db", None),
    NoWorker(),
    NotComparable("price", "matplotlib.figure.Figure"),
    NotAllowed("only ann may answer, signed in"),
    NotInStep("flow.suspend()"),
    NotJSON("context", "['when']", "datetime"),
    NotStorable("type 'list' is not supported"),
    NotSuspended("k3v9", "completed", "approve"),
    CannotRetry("k3v9", "suspended"),
    CannotSuspend("k3v9", "waiting"),
    NotSuspended("k3v9", "suspended", "aprove", ["approve", "review"]),
    QuestionChanged("k3v9"),
    NotebookGone("k3v9", "in.ipynb", "/data/k3v9/start.ipynb"),
    NotebookNotFound("missing.ipynb"),
    OutputInUse("out.ipynb", "k3v9", "suspended"),
    NotDelivered("ann@example.org", "no such mailbox"),
    PauseTimeout("ask"),
    PortInUse("127.0.0.1", 7287),
    PortInUse("127.0.0.1", 7287, "run", "4711"),
    PortInUse("127.0.0.1", 7287, "server", "4711"),
    NotRestored("abc", ["budget (helper.Budget) could not be restored: gone. Cell 3 needs it."]),
    SnapshotDamaged("m1", "the digest differs"),
    SnapshotError("the disk went away"),
    SnapshotMismatch("m1", ["Python 3.11 there, 3.13 here"]),
    StorageFull("/data"),
    DiskNearlyFull("/data", 900),
    QuotaReached("/data", 900, 1000),
    StoreDamaged("a text is not JSON"),
    StoreUnavailable("sqlite:///pauseflow.db", "it is locked"),
    UnknownExecution("k3v9"),
    UnknownKey(7),
    InvalidRecord("its payload is not JSON"),
    InvalidParameters([{"path": ["n"], "message": "must be a whole number"}]),
    AmbiguousExecution("ab", ["abc", "abd"]),
    UnknownLink(),
    UnknownTrigger("k3v9"),
    TriggerPaused("k3v9"),
    CannotStart("k3v9"),
    TooManyStarts("k3v9", 1000),
    TooManyWaiting(),
    InvalidSchedule("cron", "99 * * * *", "has a bad minute"),
    Unsaveable("connection", "sqlite3.Connection", "it is open"),
]


def facts(error: BaseException) -> tuple[object, ...]:
    return type(error), error.args, str(error), vars(error)


def public_classes() -> set[type[PauseflowError]]:
    return {
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, PauseflowError) and value is not PauseflowError
    }


def test_every_class_has_an_example_here() -> None:
    assert {type(error) for error in EXAMPLES} == public_classes()


def test_every_class_is_public() -> None:
    assert {cls.__name__ for cls in public_classes()} | {"PauseflowError"} == set(errors.__all__)


def test_the_tree_in_the_docstring_names_every_class() -> None:
    drawn = errors.__doc__ or ""

    assert [cls.__name__ for cls in public_classes() if f" {cls.__name__} " not in drawn] == []


def test_the_place_of_every_class_is_the_package() -> None:
    """Pickles name it, those in snapshots too: they must not break when a class moves to another file."""
    assert {cls.__module__ for cls in {*public_classes(), PauseflowError}} == {"pauseflow_nb.errors"}


def test_each_survives_pickling() -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        for error in EXAMPLES:
            assert facts(pickle.loads(pickle.dumps(error, protocol))) == facts(error), protocol


def test_each_survives_copying() -> None:
    for error in EXAMPLES:
        assert facts(copy.copy(error)) == facts(error)
        assert facts(copy.deepcopy(error)) == facts(error)


def test_each_survives_pickling_with_notes() -> None:
    for error in EXAMPLES:
        fresh = copy.copy(error)
        fresh.add_note("seen in cell 3")

        assert pickle.loads(pickle.dumps(fresh)).__notes__ == ["seen in cell 3"], error


def test_each_is_a_sentence_with_its_facts() -> None:
    for error in EXAMPLES:
        sentence = str(error)
        named = [str(fact) for fact in error.args if isinstance(fact, (str, int)) and not isinstance(fact, bool)]

        assert len(sentence.split()) >= 4, repr(error)
        assert not sentence.startswith("("), repr(error)
        # A cell is counted from 1, and sizes are in megabytes, when spoken to people.
        assert [fact for fact in named if fact not in sentence and fact not in {"2", "900", "1000"}] == [], repr(error)


def test_each_also_is_the_builtin_that_fits() -> None:
    for cls in public_classes():
        builtins = [base for base in cls.__mro__ if base.__module__ == "builtins"]
        assert builtins != [Exception, BaseException, object], cls


def test_operating_system_errors_have_their_number() -> None:
    assert StorageFull("/data").errno == errno.ENOSPC
    assert NotebookNotFound("a.ipynb").errno == errno.ENOENT
    assert NotebookNotFound("a.ipynb").filename == "a.ipynb"
    assert PortInUse("127.0.0.1", 7287).errno == errno.EADDRINUSE
    assert StoreUnavailable("sqlite://", "it is locked").errno is None


def test_an_unknown_link_says_what_to_do_and_nothing_about_why() -> None:
    assert "ask for a new one" in str(UnknownLink())


def test_a_dead_kernel_is_explained_by_its_signal() -> None:
    assert "killed by SIGKILL (often: out of memory)" in str(KernelDied(-9))
    assert "killed by signal 99" in str(KernelDied(-99))
    assert "with status 1 while" in str(KernelDied(1))


def test_no_module_raises_a_bare_exception() -> None:
    """Errors that users see are made from facts in `errors`, not from text in passing."""
    found = []
    for file in Path(errors.__file__).parent.parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call):
                continue
            if ast.unparse(node.exc.func) in {"Exception", "BaseException", "SystemError"}:
                found.append(f"{file.name}:{node.lineno}")
    assert found == []


@pytest.mark.parametrize("error", [errors.NotSuspended("fc7e", "queued"), errors.CannotRetry("fc7e", "queued")])
def test_a_queued_execution_says_how_it_continues(error: Exception) -> None:
    assert "it is queued and continues when a worker takes it; `pauseflow serve` starts one" in str(error)


def test_an_answer_to_a_misspelt_step_names_those_that_wait() -> None:
    error = errors.NotSuspended("fc7e", "suspended", "aks", order_by_likeness("aks", ["review", "ask"]))

    assert str(error) == (
        "execution fc7e is suspended and does not wait for an answer in step 'aks', but in ask, review: pass --step ask"
    )
