"""Which of a training's checkpoints is its model."""

from pathlib import Path

import yaml

from comsl.errors import DataError


def trained_checkpoint(folder: Path, speech_encoder: str | None = None) -> Path:
    """What a finished training of ESPnet leaves in its folder: the average of its best epochs by
    the first `best_model_criterion` of its `config.yaml`, such as `valid.ce_st.ave.pth`.

    DataError: the training has not ended yet, it had another speech encoder than this, or the
    folder is no training's.
    """
    config = folder / "config.yaml"
    if not config.is_file():
        raise DataError(
            f"{folder}: no training's folder: it has no config.yaml; run stage 3 or 6. Nor is it a"
            " packed model's: it has no config.json with 'comsl' in it"
        )
    settings = yaml.safe_load(config.read_text())
    heard = settings.get("speech_encoder_conf", {}).get("model")
    if None not in (heard, speech_encoder) and heard != speech_encoder:
        raise DataError(f"{folder}: trained with the speech encoder {heard}, not {speech_encoder}")
    phase, statistic, _ = settings["best_model_criterion"][0]
    checkpoint = folder / f"{phase}.{statistic}.ave.pth"
    if not checkpoint.is_file():
        raise DataError(f"{checkpoint}: no such file: the training has not ended; run it again")
    return checkpoint
