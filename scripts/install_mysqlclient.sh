#!/bin/sh
# Usage: install_mysqlclient.sh VENV
# Installs the extra mysql into the virtual environment VENV, where mysqlclient can be built. Where it cannot, it says so in
# one line and succeeds all the same: nothing but MySQL depends on it.
set -u
venv=$1
log=$venv/mysqlclient.log
. "$(dirname "$0")/debian.sh"

built() {
    scripts/install.sh "$venv" mysql >>"$log" 2>&1
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
echo "MySQL and MariaDB are left out: mysqlclient could not be built (see $log; 'make -B setup EXTRAS=mysql' tries again)."
