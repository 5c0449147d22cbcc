#!/bin/sh
# Installs Debian's Java 17 where there is none and it may be installed; where it may not, says so in one line and succeeds
# all the same: nothing but Spark depends on it.
set -u
. "$(dirname "$0")/debian.sh"

if ! command -v java >/dev/null && [ -z "${JAVA_HOME:-}" ]; then
    debian_install openjdk-17-jre-headless >/dev/null 2>&1 ||
        echo "Spark needs Java 17 or newer, which could not be installed (Debian's openjdk-17-jre-headless)."
fi
