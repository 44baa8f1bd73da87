"""Run the command line as `python -m pauseflow_nb`, for systems where `pauseflow` is not on the PATH."""

from pauseflow_nb.cli import main

main()
