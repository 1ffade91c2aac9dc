# Where the corpus lies, relative to the top of the repository; sourced by local/data.sh. A variable of the environment
# comes first: EUROPARL_ST=/corpora/europarl_st egs2/europarl_st/comsl1/run.sh
# shellcheck shell=bash
# shellcheck disable=SC2034

# Europarl-ST: v1.1.tar.gz as downloaded, or its folders, one a language.
EUROPARL_ST=${EUROPARL_ST:-downloads/europarl_st}
