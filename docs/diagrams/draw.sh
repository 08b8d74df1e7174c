#!/usr/bin/env bash
# Draws each diagram of this folder with D2, compiled once from its Go module (a minute on 2 cores). Each SVG ends with
# the sha256 of what it was drawn from; `tests/docs.rs` compares it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
for source in *.d2; do
  drawn=${source%.d2}.svg
  go tool d2 --pad 20 --theme 0 --layout dagre "$source" "$drawn"
  # a viewer that loads no embedded fonts shows a sans-serif font of its own
  sed -i -E 's/(font-family: "d2-[0-9]+-font-[a-z]+");/\1, "Source Sans Pro", Helvetica, Arial, sans-serif;/' "$drawn"
  printf '\n<!-- sha256 %s -->\n' "$(cat "$source" go.mod draw.sh | sha256sum | cut -d' ' -f1)" >>"$drawn"
  chmod 644 "$drawn"
done
