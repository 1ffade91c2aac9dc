"""LoRA (Hu et al. 2022) by peft: of a part's linear layers only a product of low rank trains."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from comsl.checks import check_settings
from comsl.errors import DataError

PARTS = ("language_model", "speech_encoder")


@dataclass(frozen=True)
class Lora:
    """Of one part. rank, alpha: what is added to a weight is `alpha / rank` times the product;
    dropout: of what goes into it; targets: names of linear layers, by default those of attention's
    queries and values."""

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.05
    targets: str = ""

    def add_to(self, module: nn.Module, targets: tuple[str, ...]) -> None:
        """Freeze all of the module, and add trainable products. DataError: no layer is meant."""
        from peft import LoraConfig, inject_adapter_in_model

        targets = self.targets.split() or targets
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=list(targets),
        )
        try:
            inject_adapter_in_model(config, module)
        except ValueError as error:
            raise DataError(f"lora_conf: no layer is called {' or '.join(targets)}") from error


def check_lora(conf: Mapping[str, Mapping]) -> None:
    """DataError: a part or a setting that there isn't, or that makes no sense."""
    for part, settings in conf.items():
        if part not in PARTS or not isinstance(settings, Mapping):
            raise DataError(f"lora_conf: no settings of '{part}'; known: {' '.join(PARTS)}")
        check_settings(f"lora_conf: {part}", Lora, settings)
        if Lora(**settings).rank < 1:
            raise DataError(f"lora_conf: {part}: rank is at least 1")


def lora_shapes(conf: Mapping[str, Mapping]) -> dict[str, tuple[int, str]]:
    """Rank and layers of each part: trainings that have the same can go on from each other."""
    parts = {part: Lora(**settings) for part, settings in conf.items()}
    return {name: (part.rank, part.targets) for name, part in parts.items()}


def add_lora(model: nn.Module, conf: Mapping[str, Mapping]) -> None:
    """Add it to parts of a ComSLModel, of the speech encoder to the blocks that would train. From
    then on the state dict holds what trains alone. DataError: no layer of a part is meant."""
    if "language_model" in conf:  # perhaps with no settings of its own
        language_model = model.language_model
        Lora(**conf["language_model"]).add_to(language_model, language_model.lora_targets)
    if "speech_encoder" in conf and model.speech_encoder is not None:
        model.speech_encoder.train_only_added(Lora(**conf["speech_encoder"]).add_to)
    for name, part in model.named_children():
        total = sum(parameter.numel() for parameter in part.parameters())
        trained = sum(p.numel() for p in part.parameters() if p.requires_grad)
        if total:
            logging.info("%s: %.2f %% of %d parameters train", name, 100 * trained / total, total)
    model.lora_hooks = [
        model.register_state_dict_post_hook(_keep_trained),
        model.register_load_state_dict_post_hook(_expect_trained),
    ]


def merge_lora(model: nn.Module) -> None:
    """Put what was trained into the weights that it was added to: a model as any other."""
    from peft.tuners.lora import LoraLayer

    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, LoraLayer):
                child.merge()
                setattr(module, name, child.get_base_layer())
    for hook in model.lora_hooks:
        hook.remove()


@contextmanager
def without_lora(model: nn.Module) -> Iterator[None]:
    """The model as it was before training, in evaluation mode."""
    from peft.tuners.lora import LoraLayer

    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    training = model.training
    model.eval()
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        model.train(training)
        for layer in layers:
            layer.enable_adapters(True)


def _trained(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def _keep_trained(model: nn.Module, state: dict, prefix: str, metadata: dict) -> None:
    for name in state.keys() - {prefix + name for name in _trained(model)}:
        del state[name]


def _expect_trained(model: nn.Module, keys) -> None:
    trained = _trained(model)
    keys.missing_keys[:] = [name for name in keys.missing_keys if name in trained]
    if keys.unexpected_keys:
        raise DataError(
            "lora_conf: the weights to start from were trained otherwise"
            f" ('{keys.unexpected_keys[0]}'): give both phases the same lora_conf"
        )
