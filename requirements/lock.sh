#!/bin/sh
# Writes the locked, hashed requirements/*.txt from the *.in files. `make lock` runs it; add --upgrade to take new releases.
set -eu
cd "$(dirname "$0")"
# local first: it holds everything, and the others are cut from it, so that no two environments disagree about a version.
compile() { uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --annotation-style line "$@"; }
compile local.in -o local.txt "$@"
for name in model_server model_zoo native production tensorflow; do
  compile "$name.in" -c local.txt -o "$name.txt"
done
compile uv.in -o uv.txt "$@"
