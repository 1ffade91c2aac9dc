#!/usr/bin/env bash
# The test command: builds the environment on first use, then lint and tests. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck disable=SC1091
. ./path.sh

ruff check .
ruff format --check .
git ls-files '*.sh' .ci/run | xargs shellcheck -x
hadolint Dockerfile
# Files run side by side, on one thread each, in the order of conftest.py: the longest first.
OMP_NUM_THREADS=1 python -m pytest -q --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder "$@"
