#!/bin/sh
# Usage: test_with_servers.sh PYTEST SQLITE_URL [ARGUMENT...]
# Runs the tests of the slow folders (spark, streams, servers, browser) on SQLite, in as many processes as there are
# cores (TEST_PROCESSES), and beside them all tests that depend on the database on each server of TEST_DATABASE_URLS
# (comma-separated), a process each; what those print is shown at the end. LONG=1 has tests that repeat themselves do so
# often. TEST_KAFKA_JARS names the folder that .ci/kafka.sh filled. With REQUIRE_SERVICES=1 a server that is not among
# them is a failure, and so is a missing Kafka, Java, Spark, Redis, libfaketime, Chromium or disk for the power cuts, or
# that the benchmarks' peers are not installed; else the tests that need one are left out.
set -eu
pytest=$1
sqlite=$2
shift 2

urls=$(printf %s "${TEST_DATABASE_URLS:-}" | tr , ' ')
missing=
case " $urls" in *" mysql"* | *" mariadb"*) ;; *) missing="MySQL/MariaDB" ;; esac
case " $urls" in *" postgres"* | *" pgsql"*) ;; *) missing="${missing:+$missing and }PostgreSQL" ;; esac
if [ -n "$missing" ] && [ "${REQUIRE_SERVICES:-}" = 1 ]; then
    echo "REQUIRE_SERVICES=1, but TEST_DATABASE_URLS has no address for $missing." >&2
    exit 1
fi
if [ -z "${TEST_KAFKA_JARS:-}" ] && [ "${REQUIRE_SERVICES:-}" = 1 ]; then
    echo "REQUIRE_SERVICES=1, but TEST_KAFKA_JARS names no folder with Kafka's jars: .ci/kafka.sh fills one." >&2
    exit 1
fi
spark=.venv/requirements-spark.done
if [ ! -e "$spark" ] && [ "${REQUIRE_SERVICES:-}" = 1 ]; then
    echo "REQUIRE_SERVICES=1, but Spark is not installed: make setup-spark." >&2
    exit 1
fi
peers=benchmarks/.venv/requirements.done
if [ ! -e "$peers" ] && [ "${REQUIRE_SERVICES:-}" = 1 ]; then
    echo "REQUIRE_SERVICES=1, but the benchmarks' peers are not installed: make setup-bench." >&2
    exit 1
fi

said=$(mktemp -d)
servers=
trap 'rm -rf "$said"' EXIT
trap 'kill $servers 2>/dev/null; rm -rf "$said"; exit 130' INT TERM
number=0
for url in $urls; do
    number=$((number + 1))
    DATABASE_URL=$url "$pytest" -m database -p no:cacheprovider "$@" >"$said/$number" 2>&1 &
    servers="$servers $!"
done
failed=
DATABASE_URL=$sqlite "$pytest" -n "${TEST_PROCESSES:-$(getconf _NPROCESSORS_ONLN)}" --dist loadgroup --no-loadscope-reorder \
    tests/spark tests/streams tests/servers tests/browser "$@" || failed=SQLite
for server in $servers; do
    wait "$server" || failed="${failed:+$failed and }a server"
done
cat "$said"/* 2>/dev/null || true
if [ -n "$failed" ]; then
    echo "Failed on $failed." >&2
    exit 1
fi
if [ -n "$missing" ]; then
    echo "Left out: $missing (TEST_DATABASE_URLS names no such server)."
fi
if [ -z "${TEST_KAFKA_JARS:-}" ]; then
    echo "Left out: the tests with a real Kafka (TEST_KAFKA_JARS names no folder that .ci/kafka.sh filled)."
elif ! command -v java >/dev/null; then
    echo "Left out: the tests with a real Kafka (there is no Java)."
fi
if [ ! -e "$spark" ]; then
    echo "Left out: the tests with Spark ('make setup-spark' installs it)."
elif ! command -v java >/dev/null; then
    echo "Left out: the tests with Spark (there is no Java)."
fi
if ! ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1; then
    echo "Left out: the runs by wrong clocks (there is no libfaketime)."
fi
if ! command -v redis-server >/dev/null; then
    echo "Left out: the tests with a real Redis (there is no redis-server)."
fi
if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null && ! command -v google-chrome >/dev/null; then
    echo "Left out: the tests of the pages in a browser (there is no Chromium)."
fi
if [ "$(id -u)" != 0 ] || ! losetup --find >/dev/null 2>&1 || ! command -v mkfs.ext4 >/dev/null; then
    echo "Left out: the power cuts (they take root, loop devices and mkfs.ext4)."
fi
if [ ! -e "$peers" ]; then
    echo "Left out: the answers of the benchmarks' peers ('make setup-bench' installs them)."
fi
