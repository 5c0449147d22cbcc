#!/bin/sh
# Usage: install.sh VENV [NAME...]
# Installs lists of requirements (base, an extra, dev, bench: see requirement_lists.py) into the virtual environment VENV,
# in the versions of requirements.lock, each checked by its hash. uv does it, in a fraction of pip's time; pip installs uv
# into the virtual environment TOOLS, .venv by default. Without a NAME it installs uv alone.
set -eu
venv=$1
shift
tools=${TOOLS:-.venv}
uv=$tools/bin/uv
python=$tools/bin/python
locked=$(mktemp)
trap 'rm -f "$locked"' EXIT

# uv has an index and certificates of its own: pip's are meant for it too.
if [ -n "${PIP_INDEX_URL:-}" ]; then
    export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"
fi
if [ -n "${PIP_CERT:-}" ]; then
    export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"
fi

"$python" scripts/requirement_lists.py =uv >"$locked"
if ! grep -q "^uv==$("$uv" --version 2>/dev/null | cut -d ' ' -f 2) " "$locked"; then
    "$python" -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r "$locked"
fi
if [ $# = 0 ]; then
    exit
fi
echo "Installing $*"
"$python" scripts/requirement_lists.py "$@" >"$locked"
"$uv" pip install --quiet --python "$venv/bin/python" --require-hashes --constraint requirements.lock -r "$locked"
