"""Run the command line: `pauseflow`, or `python -m pauseflow_nb` where `pauseflow` is not on the PATH."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line, and stop with a sentence if Ctrl-C is pressed while it is still imported."""
    try:
        from pauseflow_nb.cli import main as run_command  # takes long enough to be interrupted
    except KeyboardInterrupt:
        sys.stderr.write("\npauseflow: stopped by Ctrl-C\n")
        sys.exit(130)
    run_command()


if __name__ == "__main__":
    main()
