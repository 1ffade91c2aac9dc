#!/usr/bin/env bash
# The command `comsl` from a clone: ./comsl.sh translate FILE. The first use builds .venv.
top=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=path.sh
. "$top/path.sh" || exit 1
exec python -m comsl "$@"
