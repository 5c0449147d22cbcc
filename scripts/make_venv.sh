#!/bin/sh
# Makes the virtual environment $1, unless it is there and works, from the first Python below that is new enough.
set -eu

if "$1/bin/python" -c 'import pip' 2>/dev/null; then
    exit 0
fi
echo "Making $1"

for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        found=$python
        break
    fi
done
if [ -z "${found:-}" ]; then
    echo "Python 3.11 or newer is needed, as python3 or named by PYTHON=..." >&2
    exit 1
fi

if ! "$found" -c 'import ensurepip, venv' 2>/dev/null; then
    # Debian keeps these two in a package of their own.
    . "$(dirname "$0")/debian.sh"
    version=$("$found" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    if ! debian_install "$version-venv" >&2; then
        echo "$found cannot make virtual environments: install the package $version-venv." >&2
        exit 1
    fi
fi
"$found" -m venv --clear "$1"
