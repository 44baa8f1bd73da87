"""Every exception of pauseflow_nb, each made from facts and saying what to do next.

    PauseflowError
    ├── NotInStep             (RuntimeError)       flow.suspend() and the like outside a %%step cell
    ├── InvalidStep           (ValueError)         a bad or repeated step name, an option that does not parse
    ├── InvalidDuration       (ValueError)         a span of time that cannot be read
    ├── InvalidValue          (ValueError)         an argument outside what it may be
    ├── NotJSON               (TypeError)          a value that must be JSON and is not
    ├── NotComparable         (TypeError)          a value of a fresh cell that cannot be compared
    ├── InvalidAnswer         (ValueError)         data that does not fit the schema
    │   └── InvalidParameters                      texts in the form of a notebook's parameters that cannot be read
    ├── CannotCheck           (ValueError)         data that takes too long to be checked against the schema
    ├── NotAllowed            (PermissionError)    an answer by a person who may not give it
    ├── InvalidNotebook       (ValueError)         a file that is not a notebook
    ├── NotebookNotFound      (FileNotFoundError)
    ├── NotebookGone          (FileNotFoundError)  the store's copy of an executed notebook was removed
    ├── InvalidImport         (ValueError)         a file that no workflow can be read from
    ├── InvalidParameter      (ValueError)         a parameter that does not parse
    ├── InvalidSetting        (ValueError)
    ├── MissingSecret         (LookupError)        a secret that no provider has
    ├── AllowanceReached      (RuntimeError)       a user or a queue has as many executions, or bytes, as it may
    ├── OutputInUse           (RuntimeError)       another execution, not ended yet, owns the output
    ├── UnknownExecution      (LookupError)
    ├── AmbiguousExecution    (LookupError)        a beginning that several ids have
    ├── UnknownTrigger        (LookupError)
    ├── TriggerPaused         (RuntimeError)       a request to a trigger that starts nothing now
    ├── CannotStart           (RuntimeError)       a request to a trigger whose notebook cannot be run
    ├── TooManyStarts         (RuntimeError)       a request to a trigger whose executions wait for a worker
    ├── TooManyWaiting        (RuntimeError)       a request while too many wait for a response
    ├── InvalidSchedule       (ValueError)         a schedule that cannot be read, or has no time to come
    ├── UnknownLink           (LookupError)        a token that we did not sign
    ├── LinkWithdrawn         (LookupError)        a link that was revoked, or whose key was withdrawn
    ├── LinkSpent             (AttributeError)     a link of an earlier pause, used after it
    ├── UnknownKey            (LookupError)
    ├── InvalidRecord         (ValueError)         a decision record that proves nothing
    ├── InvalidBody           (ValueError)         a request's body or decision that cannot be read
    │   └── UnknownCharset                         a body in a charset that is not one of the web's
    ├── BodyTooLarge          (ValueError)
    ├── TooManyAnswers        (RuntimeError)       too many answers to one execution wait to be checked
    ├── PortInUse             (OSError)
    ├── AmbiguousSuspension   (LookupError)        several are open and none was named
    ├── NotSuspended          (RuntimeError)       a resume of what does not wait
    ├── QuestionChanged       (RuntimeError)       an answer to what is no longer asked
    ├── CannotRetry           (RuntimeError)       a retry or fork of what is in another state
    ├── CannotSuspend         (RuntimeError)       a suspend of what cannot be suspended from outside
    ├── NoChecker             (RuntimeError)       no process can be started that checks answers
    │   └── CheckersBusy                           none was free in time
    ├── NoServer              (RuntimeError)       no server answers links
    ├── NoWorker              (RuntimeError)       no worker runs it
    ├── NotDelivered          (ConnectionError)    a message that was not accepted
    ├── PauseTimeout          (TimeoutError)       flow.pause() was not answered in time
    ├── Cancelled             (RuntimeError)       flow.pause() was answered with a cancel
    ├── KernelUnavailable     (RuntimeError)       no such kernel, or it does not start
    │   └── KernelNotReady                         it was started, and ended or took too long: worth another try
    ├── KernelDied            (RuntimeError)
    ├── KernelLost            (RuntimeError)       the kernel of a kernel-bound execution is gone
    ├── NodeUnavailable       (RuntimeError)       no Node.js for a step in JavaScript
    ├── NodeFailed            (RuntimeError)       the JavaScript of a step raised an error
    ├── StoreUnavailable      (ConnectionError)    the database is locked, gone or unfit
    ├── StoreDamaged          (ValueError)         a row of the database that cannot be read
    ├── NotStorable           (ValueError)         a value that the database cannot hold
    ├── StorageFull           (OSError)
    │   ├── NoRoomForBody                          too little room for a large body of an answer
    │   ├── DiskNearlyFull                         too little room for another execution: nothing new is started
    │   └── QuotaReached                           the storage holds what it may: nothing new is started
    └── SnapshotError         (RuntimeError)
        ├── Unsaveable                             a variable that cannot be saved and is needed
        ├── CannotHandOver                         a variable that the machine of the next step needs cannot be saved
        ├── NotRestored                            a variable that later cells need did not come back
        ├── SnapshotDamaged                        bytes are not what the manifest says
        └── SnapshotMismatch                       made by other versions than these

What stops a notebook on purpose is no error: see `kernel/control_flow.py`.

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

# The public place of each class. Pickles name it, those in snapshots too, so it must outlive a move between the files.
for _name in __all__:
    globals()[_name].__module__ = __name__
