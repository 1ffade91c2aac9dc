"""Speech encoders of transformers, by AutoModel: what those beside this file have in common."""

from functools import cache
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from comsl.corpora.samples import RATE
from comsl.encoders.base import SpeechEncoder
from comsl.errors import DataError
from comsl.hub import check_model
from comsl.sequences import valid

CHECKPOINTS = (".pt", ".ct2")  # how names of files of weights end, which have no configuration


@cache
def read_config(model: str):
    """The configuration of a hub id or folder; None where it is neither. DataError:
    an id that isn't here, without the hub."""
    if not Path(model).is_dir() and (model.count("/") != 1 or Path(model).suffix in CHECKPOINTS):
        return None
    from transformers import AutoConfig

    check_model(model)
    try:
        return AutoConfig.from_pretrained(model)
    except (OSError, ValueError):
        return None


class HuggingFaceEncoder(SpeechEncoder):
    """A model of transformers, its parameters and state dict unchanged, but batch-invariant.

    A subclass says which types it knows and what is before the first block. SpecAugment and
    LayerDrop, which the models' own classes apply in training, are left out.

    model: hub id or folder; dims: its configuration.
    """

    frame_rate = 50.0
    window = 30.0  # no model's own limit: memory is
    model_types: ClassVar[tuple[str, ...]]
    names: ClassVar[list[str]]
    attention: ClassVar[str]  # transformers' implementation

    @classmethod
    def knows(cls, model: str) -> bool:
        config = read_config(model)
        return config is not None and config.model_type in cls.model_types

    @classmethod
    def published(cls) -> list[str]:
        return cls.names

    @classmethod
    def published_width(cls, model: str) -> int | None:
        return getattr(read_config(model), "hidden_size", None)

    def load(self, model: str, downloads: str, dims: dict | None) -> nn.Module:
        from transformers import AutoConfig, AutoModel

        attention = {"attn_implementation": self.attention}
        try:
            if dims:
                network = AutoModel.from_config(AutoConfig.for_model(**dims), **attention)
            else:
                network = AutoModel.from_pretrained(model, dtype=torch.float32, **attention)
        except (OSError, ValueError) as error:
            raise DataError(f"'{model}': no speech encoder could be loaded: {error}") from error
        self.check(network.config, model)
        for unused in ("masked_spec_embed", "adapter", "intermediate_ffn"):
            if getattr(network, unused, None) is not None:
                delattr(network, unused)
        return network

    def check(self, config, model: str) -> None:
        """DataError: a variant that this class doesn't know how to run."""

    def dims(self) -> dict:
        return self.encoder.config.to_dict()

    def output_size(self) -> int:
        return self.encoder.config.hidden_size

    def max_samples(self) -> int:
        return round(self.window * RATE)

    def blocks(self) -> nn.ModuleList:
        return self.encoder.encoder.layers

    def output(self) -> nn.Module:
        return nn.Identity()

    def project(self, features: Tensor, lengths: list[int]) -> tuple[Tensor, Tensor]:
        """Features (B, T, c) -> input of the stack (B, T, d), zero after each utterance's end, and
        which of it is real, (B, T, 1)."""
        projected = self.encoder.feature_projection(features)
        states = projected if isinstance(projected, Tensor) else projected[0]
        lengths = torch.tensor(lengths, device=states.device)
        real = valid(lengths, states.shape[1])[..., None]
        return states * real, real
