# Environment of every script here; source it: `. ./path.sh`. The first use builds .venv, see local/setup.sh.
# shellcheck shell=bash

unset PYTHONPATH PYTHONHOME # what lies there would come before the pinned packages
COMSL_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$COMSL_TOP/local/setup.sh" || return 1
export VIRTUAL_ENV=$COMSL_TOP/.venv
export PATH=$VIRTUAL_ENV/bin:$PATH

export LC_ALL=C                     # `sort` in the byte order that Kaldi-style files have
export PYTHONUTF8=1                 # and still UTF-8 in Python
export PYTHONUNBUFFERED=1           # progress shows at once, also through a pipe
export TOKENIZERS_PARALLELISM=false # data loaders fork after the tokenizer was used
