#!/bin/sh
# kafka.sh FOLDER: puts the jars of an Apache Kafka broker there, of which kafka/ has the versions and checksums.
# Needs Maven, whose local repository keeps what was downloaded before.
set -eu
kafka=$(cd "$(dirname "$0")/kafka" && pwd)
folder=$1
if [ -e "$folder" ]; then
    rm -rf "$folder"
fi
plugin=org.apache.maven.plugins:maven-dependency-plugin:3.6.1
mvn -q -B -Dstyle.color=never -f "$kafka/pom.xml" "$plugin:copy-dependencies" -DincludeScope=runtime \
    -DoutputDirectory="$(realpath -m "$folder.part")"
(cd "$folder.part" && LC_ALL=C sha256sum -- *) | diff "$kafka/sha256" - >&2 ||
    { echo "These are not the jars that .ci/kafka/sha256 lists." >&2; exit 1; }
mv "$folder.part" "$folder"
