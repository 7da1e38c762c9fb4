#!/usr/bin/env bash
# Makes again what is generated in docs/.
set -euo pipefail
cd "$(dirname "$0")/.."
cmake --preset release >/dev/null
cmake --build --preset release --target acrn-reference -- --quiet
page=$(build/release/dm/reference/acrn-reference docs/options.md)
printf '%s\n' "$page" >docs/options.md
python3 docs/conformance.py
