#!/bin/sh
# Print where the tests may write: in memory where there is plenty, because stores sync to the disk with each
# commit, and the tests make thousands of them; otherwise where temporary files belong.

memory=/dev/shm
free=$(df -Pk "$memory" 2>/dev/null | awk 'NR == 2 { print $4 }')
available=$(awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo 2>/dev/null)
if [ -z "$TMPDIR" ] && [ -w "$memory" ] && [ "${free:-0}" -gt 4000000 ] && [ "${available:-0}" -gt 8000000 ] &&
  ! grep -q " $memory .*noexec" /proc/mounts; then
  echo "$memory"
else
  echo "${TMPDIR:-/tmp}"
fi
