"""Which of a training's checkpoints is its model."""

from pathlib import Path

import yaml

from comsl.errors import DataError


def trained_checkpoint(folder: Path) -> Path:
    """What a finished training of ESPnet leaves in its folder: the average of its best epochs by
    the first `best_model_criterion` of its `config.yaml`, such as `valid.ce_st.ave.pth`.

    DataError: it has not ended yet, or it is no training's folder.
    """
    config = folder / "config.yaml"
    if not config.is_file():
        raise DataError(f"{folder}: no training's folder: it has no config.yaml; run stage 3 or 6")
    phase, statistic, _ = yaml.safe_load(config.read_text())["best_model_criterion"][0]
    checkpoint = folder / f"{phase}.{statistic}.ave.pth"
    if not checkpoint.is_file():
        raise DataError(f"{checkpoint}: no such file: the training has not ended; run it again")
    return checkpoint
