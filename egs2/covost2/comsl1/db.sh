# Where the corpora lie, relative to the top of the repository; sourced by local/data.sh. Variables of the environment
# come first: COMMONVOICE=/corpora/cv24 egs2/covost2/comsl1/run.sh
# shellcheck shell=bash
# shellcheck disable=SC2034

# A release of Common Voice, 4 or later: archives as downloaded, or <lang>/ with clips/ and validated.tsv in it.
COMMONVOICE=${COMMONVOICE:-downloads/common_voice}
# CoVoST 2's tables, covost_v2.<lang>_en[.train|.dev|.test].tsv; downloaded to this folder where they are not.
COVOST2=${COVOST2:-downloads/covost2}
# A later Common Voice, in the same layout, for pseudo data. Empty: none.
COMMONVOICE_LATER=${COMMONVOICE_LATER:-}
# Languages of pseudo data, such as "it cy". Empty: all of the groups mid and low.
PSEUDO_LANGS=${PSEUDO_LANGS:-}
