#!/bin/bash
# audit.sh [LOCK...]: looks up known vulnerabilities of the packages in these locks, or in all. `make audit` runs it.
# Exits 0 if there are none, 1 if there are some, and 3 if that is unknown: without a network, or behind a mirror that omits
# vulnerabilities.
set -euo pipefail
cd "$(dirname "$0")"
locks=("$@")
[ "${#locks[@]}" -gt 0 ] || locks=(*.txt)
# The locks are complete and hashed, so nothing is resolved or downloaded. After an error, there is no report.
audit() { pip-audit --requirement "$1" --require-hashes --disable-pip --progress-spinner off --desc off; }
unknown() {
  echo "Not audited: $1. Run make audit where a network reaches pypi.org." >&2
  exit 3
}

known=$(mktemp)
trap 'rm -f "$known"' EXIT
printf 'django==3.2.0 --hash=sha256:%064d\n' 0 > "$known" # has many; without them, "none" means nothing
status=0
report=$(audit "$known") || status=$?
[ "$status" -ne 0 ] || unknown 'the package index leaves vulnerabilities out'
[ -n "$report" ] || unknown 'the package index does not answer'

result=0
for lock in "${locks[@]}"; do
  status=0
  report=$(audit "$lock") || status=$?
  if [ "$status" -eq 0 ]; then
    echo "$lock: no known vulnerabilities"
  elif [ -n "$report" ]; then
    printf '%s:\n%s\n' "$lock" "$report"
    result=1
  else
    unknown 'the package index does not answer'
  fi
done
exit "$result"
