#!/bin/sh
# Installs the lock file $2 (mysqlclient and its hashes) into the virtual environment $1, where it can be built.
# Where it cannot, it says so in one line and succeeds all the same: nothing but MySQL depends on it.
set -u
venv=$1
lock=$2
log=$venv/mysqlclient.log
. "$(dirname "$0")/debian.sh"

built() {
    "$venv/bin/pip" install -q --disable-pip-version-check --require-hashes -r "$lock" >>"$log" 2>&1
}

can_build() {
    command -v gcc >/dev/null && command -v pkg-config >/dev/null &&
        { pkg-config --exists mysqlclient || pkg-config --exists mariadb || pkg-config --exists libmariadb; } &&
        "$venv/bin/python" -c '
import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))'
}

headers_of_python() {
    # Debian's own Python keeps its headers in a package of their own.
    "$venv/bin/python" -c '
import sys
if sys.base_prefix == "/usr":
    print("python%d.%d-dev" % sys.version_info[:2])'
}

: >"$log"
if can_build && built; then
    exit 0
fi
# shellcheck disable=SC2046
if debian_install default-libmysqlclient-dev pkg-config gcc libc6-dev $(headers_of_python) >>"$log" 2>&1 && built; then
    exit 0
fi
echo "MySQL and MariaDB are left out: mysqlclient could not be built (see $log; 'make -B setup' tries again)."
