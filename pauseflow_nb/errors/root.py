"""The root of all errors."""


class PauseflowError(Exception):
    """Root of everything that pauseflow_nb raises."""

    def __init__(self, *facts: object) -> None:
        # Not `super()`: OSError would read two arguments as an error number and its text.
        Exception.__init__(self, *facts)
