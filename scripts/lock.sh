#!/bin/sh
# Usage: lock.sh UV [ARGUMENT...]
# Writes requirements.lock: exact versions with hashes, for every platform and Python from 3.11 on, of the product, its
# extras, the tools and what the benchmarks measure it against. Versions that still fit stay as they are, unless an argument
# (--upgrade) says otherwise.
set -eu
uv=$1
shift

"$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
    --custom-compile-command "make lock" --output-file requirements.lock "$@" \
    requirements.txt requirements-spark.txt requirements-dev.txt benchmarks/requirements.txt
echo "requirements.lock: $(grep -c '^[a-z]' requirements.lock) packages"
