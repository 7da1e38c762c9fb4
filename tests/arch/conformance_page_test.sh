#!/usr/bin/env bash
# docs/conformance.md is what the tests say that they cover. Usage: conformance_page_test.sh <source folder>
if ! command -v python3 >/dev/null; then
  echo 'conformance_page_test: skipped: the tables of docs/conformance.md (python3 is not installed)'
  exit 77
fi
exec python3 "$1/docs/conformance.py" --check
