#!/usr/bin/env bash
# A placeholder: says that there is nothing to measure yet.
echo "bench: nothing is measured yet" >&2
exit 1
