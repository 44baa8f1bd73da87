"""Every exception of pauseflow_nb, each made from facts and saying what to do next.

    PauseflowError
    ├── NotInStep             (RuntimeError)       flow.suspend() or a similar call outside a %%step cell
    ├── InvalidStep           (ValueError)         a bad or repeated step name, an option that does not parse
    ├── InvalidDuration       (ValueError)         a span of time that cannot be read
    ├── InvalidValue          (ValueError)         an argument with a value that is not allowed
    ├── NotJSON               (TypeError)          a value that must be JSON and is not JSON
    ├── NotComparable         (TypeError)          a value of a fresh cell that cannot be compared
    ├── InvalidAnswer         (ValueError)         data that does not fit the schema
    │   └── InvalidParameters                      parameters in a form that cannot be read
    ├── CannotCheck           (ValueError)         data that takes too long to be checked against the schema
    ├── NotAllowed            (PermissionError)    an answer by a person who may not answer
    ├── InvalidNotebook       (ValueError)         a file that is not a notebook
    ├── NotebookNotFound      (FileNotFoundError)
    ├── NotebookGone          (FileNotFoundError)  the store's copy of an executed notebook was removed
    ├── InvalidImport         (ValueError)         a file that is not a workflow
    ├── InvalidParameter      (ValueError)         a parameter that does not parse
    │   └── InvalidOutput                          an output notebook that cannot be written
    ├── InvalidSetting        (ValueError)
    ├── MissingSecret         (LookupError)        a secret that no provider has
    ├── AllowanceReached      (RuntimeError)       a user or a queue has reached its limit of executions or bytes
    ├── OutputInUse           (RuntimeError)       another execution that has not ended writes the output
    ├── UnknownExecution      (LookupError)
    ├── AmbiguousExecution    (LookupError)        a prefix that several ids share
    ├── UnknownTrigger        (LookupError)
    ├── TriggerPaused         (RuntimeError)       a request to a paused trigger
    ├── CannotStart           (RuntimeError)       a request to a trigger whose notebook cannot be run
    ├── TooManyStarts         (RuntimeError)       a request to a trigger with too many executions that wait
    ├── TooManyWaiting        (RuntimeError)       a request while too many others wait for a response
    ├── InvalidSchedule       (ValueError)         a schedule that cannot be read, or has no future time
    ├── UnknownLink           (LookupError)        a token that we did not sign
    ├── LinkWithdrawn         (LookupError)        a link that was revoked, or whose key was withdrawn
    ├── LinkSpent             (AttributeError)     a link of an earlier pause, used after it
    ├── UnknownKey            (LookupError)
    ├── InvalidRecord         (ValueError)         a decision record that is not valid
    ├── InvalidBody           (ValueError)         a request's body or decision that cannot be read
    │   └── UnknownCharset                         a body in a charset that is not one of the web's
    ├── BodyTooLarge          (ValueError)
    ├── TooManyAnswers        (RuntimeError)       too many answers to one execution wait to be checked
    ├── PortInUse             (OSError)
    ├── AmbiguousSuspension   (LookupError)        several are open and none was named
    ├── NotSuspended          (RuntimeError)       an answer to an execution that does not wait
    ├── QuestionChanged       (RuntimeError)       an answer to a question that has changed
    ├── CannotRetry           (RuntimeError)       a retry or fork that the state does not allow
    ├── CannotSuspend         (RuntimeError)       a suspend that the state does not allow
    ├── NoChecker             (RuntimeError)       no process that checks answers can be started
    │   └── CheckersBusy                           all such processes were busy too long
    ├── NoServer              (RuntimeError)       no server answers links
    ├── NoWorker              (RuntimeError)       no worker would run the segment
    ├── NotDelivered          (ConnectionError)    a message that was not accepted
    ├── PauseTimeout          (TimeoutError)       flow.pause() was not answered in time
    ├── Cancelled             (RuntimeError)       flow.pause() was answered with a cancel
    ├── KernelUnavailable     (RuntimeError)       no such kernel, or it does not start
    │   └── KernelNotReady                         it ended early or took too long: try again
    ├── KernelDied            (RuntimeError)
    ├── KernelLost            (RuntimeError)       the kernel of a kernel-bound execution ended
    ├── NodeUnavailable       (RuntimeError)       no Node.js for a step in JavaScript
    ├── NodeFailed            (RuntimeError)       the JavaScript of a step raised an error
    ├── StoreUnavailable      (ConnectionError)    the database is locked, missing or unusable
    ├── NoStore               (LookupError)        a command that only reads found no store
    ├── StoreDamaged          (ValueError)         a row of the database that cannot be read
    ├── NotStorable           (ValueError)         a value that the database cannot hold
    ├── StorageFull           (OSError)
    │   ├── NoRoomForBody                          too little room for a large body of an answer
    │   ├── DiskNearlyFull                         too little room for another execution: nothing new is started
    │   └── QuotaReached                           the storage is at its limit: nothing new is started
    └── SnapshotError         (RuntimeError)
        ├── Unsaveable                             a variable that is needed and cannot be saved
        ├── CannotHandOver                         a variable that the next step's machine needs cannot be saved
        ├── NotRestored                            a variable that later cells need could not be restored
        ├── SnapshotDamaged                        stored bytes differ from the manifest
        └── SnapshotMismatch                       made by other versions than the kernel's

Stops on purpose are not errors: see `kernel/control_flow.py`.

Each class builds its sentence from its arguments and keeps them in `args`, so each one survives
pickling; `tests/test_errors.py` pickles all of them.
"""

from pauseflow_nb.errors.answers import (
    BodyTooLarge,
    Cancelled,
    CannotCheck,
    CheckersBusy,
    InvalidAnswer,
    InvalidBody,
    InvalidParameters,
    LinkSpent,
    LinkWithdrawn,
    NoChecker,
    NotAllowed,
    PauseTimeout,
    TooManyAnswers,
    UnknownCharset,
    UnknownKey,
    UnknownLink,
)
from pauseflow_nb.errors.automatic_starts import (
    CannotStart,
    InvalidSchedule,
    TooManyStarts,
    TooManyWaiting,
    TriggerPaused,
    UnknownTrigger,
)
from pauseflow_nb.errors.execution_state import (
    AllowanceReached,
    AmbiguousExecution,
    AmbiguousSuspension,
    CannotRetry,
    CannotSuspend,
    NotebookGone,
    NotSuspended,
    OutputInUse,
    QuestionChanged,
    UnknownExecution,
)
from pauseflow_nb.errors.processes import (
    KernelDied,
    KernelLost,
    KernelNotReady,
    KernelUnavailable,
    NodeFailed,
    NodeUnavailable,
    NoServer,
    NotDelivered,
    NoWorker,
    PortInUse,
)
from pauseflow_nb.errors.root import (
    PauseflowError,
)
from pauseflow_nb.errors.stored_data import (
    CannotHandOver,
    DiskNearlyFull,
    InvalidRecord,
    NoRoomForBody,
    NoStore,
    NotRestored,
    NotStorable,
    QuotaReached,
    SnapshotDamaged,
    SnapshotError,
    SnapshotMismatch,
    StorageFull,
    StoreDamaged,
    StoreUnavailable,
    Unsaveable,
)
from pauseflow_nb.errors.user_input import (
    InvalidDuration,
    InvalidImport,
    InvalidNotebook,
    InvalidOutput,
    InvalidParameter,
    InvalidSetting,
    InvalidStep,
    InvalidValue,
    MissingSecret,
    NotComparable,
    NotebookNotFound,
    NotInStep,
    NotJSON,
)

__all__ = [
    "AllowanceReached",
    "AmbiguousExecution",
    "AmbiguousSuspension",
    "BodyTooLarge",
    "Cancelled",
    "CannotCheck",
    "CannotHandOver",
    "CannotRetry",
    "CannotStart",
    "CannotSuspend",
    "CheckersBusy",
    "DiskNearlyFull",
    "InvalidAnswer",
    "InvalidBody",
    "InvalidDuration",
    "InvalidImport",
    "InvalidNotebook",
    "InvalidOutput",
    "InvalidParameter",
    "InvalidParameters",
    "InvalidRecord",
    "InvalidSchedule",
    "InvalidSetting",
    "InvalidStep",
    "InvalidValue",
    "KernelDied",
    "KernelLost",
    "KernelNotReady",
    "KernelUnavailable",
    "LinkSpent",
    "LinkWithdrawn",
    "MissingSecret",
    "NoChecker",
    "NoRoomForBody",
    "NoServer",
    "NoStore",
    "NoWorker",
    "NodeFailed",
    "NodeUnavailable",
    "NotAllowed",
    "NotComparable",
    "NotDelivered",
    "NotInStep",
    "NotJSON",
    "NotRestored",
    "NotStorable",
    "NotSuspended",
    "NotebookGone",
    "NotebookNotFound",
    "OutputInUse",
    "PauseTimeout",
    "PauseflowError",
    "PortInUse",
    "QuestionChanged",
    "QuotaReached",
    "SnapshotDamaged",
    "SnapshotError",
    "SnapshotMismatch",
    "StorageFull",
    "StoreDamaged",
    "StoreUnavailable",
    "TooManyAnswers",
    "TooManyStarts",
    "TooManyWaiting",
    "TriggerPaused",
    "UnknownCharset",
    "UnknownExecution",
    "UnknownKey",
    "UnknownLink",
    "UnknownTrigger",
    "Unsaveable",
]

# The public module of each class. Pickles name it, also in snapshots, so it must not change when a class moves.
for _name in __all__:
    globals()[_name].__module__ = __name__
