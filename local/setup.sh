#!/usr/bin/env bash
# Builds .venv at the top of the repository from requirements.txt, or does nothing where that is done.
# No root, no system package. .venv/stamp marks a complete build: an interrupted one is redone.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$PWD/.venv

say() { echo "set-up: $*" >&2; }
refuse() { say "error: $*" && exit 1; }

# The path is part of it: the package is installed by reference to its folder.
wanted_stamp() { { cat requirements.txt && echo "$venv"; } | sha256sum; }

# A linked environment is somebody else's, to be used as it is.
is_ready() { [ -L "$venv" ] && [ -x "$venv/bin/python" ] || [ "$(cat "$venv/stamp" 2>/dev/null)" = "$(wanted_stamp)" ]; }

# Can this interpreter run ESPnet 202611 and make a virtual environment?
fits() { "$1" -c 'import sys, venv; sys.exit(sys.version_info[:2] not in [(3, 12), (3, 13)])' &>/dev/null; }

# pyenv's shims of versions that are not selected exist and fail, so its interpreters are also tried by their path.
find_python() {
  local python
  for python in python3.13 python3.12 python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[23].*/bin/python3; do
    if fits "$python"; then echo "$python" && return; fi
  done
  refuse "found no Python 3.12 or 3.13: install one, for example with 'apt install python3.12-venv' or 'pyenv install 3.12'"
}

install() {
  "$venv/bin/python" -m pip install --disable-pip-version-check "$@" >&2 ||
    refuse "pip could not install what requirements.txt lists, its own message is above: start again when that is mended"
}

build() {
  local python free
  python=$(find_python)
  rm -rf "$venv"
  free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }')
  [ "$free" -ge 9 ] || refuse "$free GB free in $PWD, the environment needs 9: free some disk space"
  say "building $venv with $("$python" --version): once, 3 to 4 minutes, 7 GB"
  # Debian's python3 can come without ensurepip: then the interpreter's own pip puts one into the environment.
  "$python" -m venv "$venv" &>/dev/null ||
    { "$python" -m venv --clear --without-pip "$venv" && "$python" -m pip --python "$venv/bin/python" install -q pip; }
}

main() {
  if [ -e "$venv/stamp" ] && fits "$venv/bin/python"; then
    say "requirements.txt or the folder has changed, bringing $venv up to date"
    rm "$venv/stamp"
  else
    build
  fi
  install -r requirements.txt
  install -q --no-deps --no-build-isolation -e .
  wanted_stamp >"$venv/stamp"
  say "environment ready after $SECONDS s"
}

is_ready && exit
exec {lock}<requirements.txt
flock "$lock" # a second script started meanwhile waits here and finds the work done
is_ready || main
