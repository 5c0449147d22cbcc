#!/bin/sh
# Usage: build_scanner.sh PYTHON
# Compiles the scanner with the machine's C compiler, or with Debian's where there is none and it may be installed.
# Where it cannot be compiled, says so in one line and succeeds all the same: files are then read by way of DuckDB.
set -u
python=$1
. "$(dirname "$0")/debian.sh"

if ! command -v cc >/dev/null && ! command -v gcc >/dev/null && ! command -v clang >/dev/null && [ -z "${CC:-}" ]; then
    debian_install gcc libc6-dev >/dev/null 2>&1
fi
said=$("$python" -m kpis.engine.compiled 2>&1) || {
    echo "$said" | head -1
    echo "Files are read without it, which takes several times as long ('make -B setup' tries again)."
}
