#!/usr/bin/env bash
# The small mBART, third part: at length, from the model that continue.sh has made, on the same texts. Six minutes on one
# GPU, as here; `--ngpu 0` does without, in about half a day on two cores.
export TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1 # faster matrix products, precise enough
exec "$(dirname "$0")/../../../run.sh" \
  --recipe debian_l10n \
  --expdir exp/finished \
  --data_sh egs2/debian_l10n/mt1/local/data.sh \
  --langs "es fr it ru" \
  --text_only true \
  --language_model exp/continued/debian_l10n/lm \
  --lm_config egs2/debian_l10n/mt1/conf/train_lm_finished.yaml \
  --ngpu 1 \
  "$@"
