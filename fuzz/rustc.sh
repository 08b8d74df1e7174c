#!/bin/sh
# Cargo calls this instead of rustc for the fuzz targets: the operator's own code gets the counters that libFuzzer steers
# by, and every check that a debug build has; its dependencies are compiled as for the operator itself, and only once.
case " $* " in
*' --crate-name redis_operator '*'feature="fuzzing"'*)
  exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cdebug-assertions=on -Coverflow-checks=on -Ccodegen-units=16 -Copt-level=1 ;;
*) exec "$@" ;;
esac
