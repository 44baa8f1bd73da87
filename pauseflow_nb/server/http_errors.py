"""Map our errors to HTTP statuses."""

from pauseflow_nb import errors

#: Value of `Retry-After` while the store is unavailable or busy.
RETRY_AFTER_SECONDS = 5

_STATUSES: dict[type[Exception], int] = {
    errors.UnknownExecution: 404,
    errors.UnknownLink: 404,
    errors.LinkWithdrawn: 410,
    errors.UnknownTrigger: 404,
    errors.TriggerPaused: 503,
    errors.CannotStart: 503,
    errors.InvalidSchedule: 400,
    errors.NotebookNotFound: 404,
    errors.NotebookGone: 404,
    errors.NotSuspended: 409,
    errors.QuestionChanged: 409,
    errors.CannotRetry: 409,
    errors.CannotSuspend: 409,
    errors.AmbiguousSuspension: 409,
    errors.OutputInUse: 409,
    errors.AllowanceReached: 429,
    errors.BodyTooLarge: 413,
    errors.InvalidAnswer: 422,
    errors.CannotCheck: 422,
    errors.TooManyAnswers: 429,
    errors.TooManyStarts: 429,
    errors.TooManyWaiting: 429,
    errors.NotAllowed: 403,
    errors.InvalidBody: 400,
    errors.UnknownCharset: 415,
    errors.InvalidDuration: 400,
    errors.InvalidNotebook: 400,
    errors.InvalidParameter: 400,
    errors.InvalidSetting: 400,
    errors.InvalidStep: 400,
    errors.InvalidValue: 400,
    errors.KernelUnavailable: 400,
    errors.NotJSON: 400,
    errors.NoChecker: 503,
    errors.NotStorable: 400,
    errors.NoServer: 503,
    errors.NoWorker: 503,
    errors.StoreDamaged: 503,
    errors.StoreUnavailable: 503,
    errors.QuotaReached: 507,
    errors.DiskNearlyFull: 507,
    errors.NoRoomForBody: 507,
    errors.StorageFull: 507,
}


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of an error; None for errors that are not ours, and for internal errors."""
    return next((_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES), None)
