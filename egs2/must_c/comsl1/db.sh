# Where the corpus lies, relative to the top of the repository; sourced by local/data.sh. A variable of the environment
# comes first: MUST_C=/corpora/must_c egs2/must_c/comsl1/run.sh
# shellcheck shell=bash
# shellcheck disable=SC2034

# MuST-C: MUSTC_v<version>_en-<target>.tar.gz as downloaded, or en-<target>/ as it is in them.
MUST_C=${MUST_C:-downloads/must_c}
