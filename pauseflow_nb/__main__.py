"""`python -m pauseflow_nb`: the command line, for where the script is not on the PATH."""

from pauseflow_nb.cli import main

main()
