#!/usr/bin/env bash
# Makes again what is generated in docs/.
set -euo pipefail
cd "$(dirname "$0")/.."
cmake --preset release >/dev/null
cmake --build --preset release --target acrn-reference -- --quiet
for file in docs/options.md docs/confinement.md; do
  page=$(build/release/dm/reference/acrn-reference "$file")
  printf '%s\n' "$page" >"$file"
done
python3 docs/conformance.py
