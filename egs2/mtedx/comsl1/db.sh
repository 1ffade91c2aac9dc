# Where the corpus lies, relative to the top of the repository; sourced by local/data.sh. A variable of the environment
# comes first: MTEDX=/corpora/mtedx egs2/mtedx/comsl1/run.sh
# shellcheck shell=bash
# shellcheck disable=SC2034

# mTEDx: mtedx_<source>-<target>.tgz as downloaded, or <source>-<target>/ as it is in them.
MTEDX=${MTEDX:-downloads/mtedx}
