# Where the corpus lies, relative to the top of the repository; sourced by local/data.sh. A variable of the environment
# comes first: FLEURS=/corpora/fleurs egs2/fleurs/comsl1/run.sh
# shellcheck shell=bash
# shellcheck disable=SC2034

# FLEURS, in the layout of its repository on Hugging Face's hub or as `datasets` exports it; fetched to this folder
# where it is not.
FLEURS=${FLEURS:-downloads/fleurs}
