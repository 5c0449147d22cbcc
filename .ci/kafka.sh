#!/bin/sh
# kafka.sh FOLDER: puts the jars of an Apache Kafka broker there, and below spark/ those by which Spark reads it; kafka/
# has their versions and checksums. Needs Maven, whose local repository keeps what was downloaded before.
set -eu
kafka=$(cd "$(dirname "$0")/kafka" && pwd)
folder=$(realpath -m "$1")
plugin=org.apache.maven.plugins:maven-dependency-plugin:3.6.1

# fetch POM_FOLDER FOLDER
fetch() {
    mvn -q -B -Dstyle.color=never -f "$1/pom.xml" "$plugin:copy-dependencies" -DincludeScope=runtime -DoutputDirectory="$2"
    (cd "$2" && LC_ALL=C sha256sum -- *.jar) | diff "$1/sha256" - >&2 ||
        { echo "These are not the jars that $1/sha256 lists." >&2; exit 1; }
}

rm -rf "$folder" "$folder.part"
fetch "$kafka" "$folder.part"
fetch "$kafka/spark" "$folder.part/spark"
mv "$folder.part" "$folder"
