#!/usr/bin/env bash
# The command `comsl` from a clone: ./comsl.sh translate FILE. The first use builds .venv.
top=$(dirname "$(readlink -f "$0")")
# shellcheck source=path.sh
. "$top/path.sh" || exit 1
exec python -P -m comsl "$@" # -P: no modules from the user's folder
