#!/bin/sh
# Usage: lock.sh UV [ARGUMENT...]
# Writes exact versions with hashes, for every platform and Python from 3.11 on: requirements.lock (the product),
# requirements-mysql.lock (mysqlclient, which has to be built), requirements-spark.lock (the product and what it needs to
# work on a cluster), requirements-dev.lock (the product and its tools) and benchmarks/requirements.lock (what it is
# measured against).
# Versions that still fit stay as they are, unless an argument (--upgrade) says otherwise.
set -eu
uv=$1
shift

compile() {
    output=$1
    shift
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --custom-compile-command "make lock" --output-file "$output" "$@"
    echo "$output: $(grep -c '^[a-z]' "$output") packages"
}

product=$(mktemp)
tools=$(mktemp)
mysql=$(mktemp)
trap 'rm -f "$product" "$tools" "$mysql"' EXIT
grep -v '^mysqlclient' requirements.txt >"$product"
grep '^mysqlclient' requirements.txt >"$mysql"
grep -v '^-r' requirements-dev.txt >"$tools"

compile requirements.lock --no-annotate "$@" "$product"
compile requirements-mysql.lock --no-annotate "$@" "$mysql"
compile requirements-spark.lock --no-annotate --constraint requirements.lock "$@" requirements-spark.txt
compile requirements-dev.lock --no-annotate --constraint requirements.lock "$@" "$product" "$tools"
compile benchmarks/requirements.lock --no-annotate --constraint requirements.lock "$@" benchmarks/requirements.txt
