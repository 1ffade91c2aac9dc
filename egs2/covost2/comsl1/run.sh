#!/usr/bin/env bash
# ComSL on CoVoST 2, 21 languages into English, as in the paper; see README.md for what has to be downloaded before.
exec "$(dirname "$0")/../../../run.sh" \
  --recipe covost2 \
  --data_sh egs2/covost2/comsl1/local/data.sh \
  --published egs2/covost2/comsl1/published.json \
  --langs "fr de ca es fa it ru pt zh-CN tr ar et mn nl sv-SE lv sl ta ja id cy" \
  "$@"
