#!/usr/bin/env bash
# Stage 1: the corpus of this example as Kaldi-style directories.
set -euo pipefail

exec python "$(dirname "$0")/prepare.py" --nj "${nj:-$(nproc)}" --corpus "${MYCORPUS:-downloads/mycorpus}" "$@"
