#!/bin/sh
# Run some tests, chosen at random, as slowly as a machine does that has a quarter of two cores: all processes of the tests
# share one core with a program that never rests.
#
#   sh tests/slow_machine.sh COUNT SEED

trap 'kill "$busy"' EXIT
trap 'exit 130' INT TERM
taskset -c 0 sh -c 'while :; do :; done' &
busy=$!
TMPDIR=$(sh tests/folder.sh) taskset -c 0 .venv/bin/pytest -n 2 -m "not slow and not hub" --sample "$1" --randomly-seed "$2"
