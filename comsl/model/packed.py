"""A packed model: a folder that holds all of a model, as the Hugging Face hub keeps such things.

Its config.json, its tokenizer and the tensors of its language blocks are those of the language
model (mBART, say), so that the folder is one to start from too. Beside them model.safetensors has
the tensors of `adapter` and `speech_encoder`, and config.json says under `comsl` what these are.
"""

import json
import tempfile
from argparse import Namespace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from comsl.encoders.choices import ENCODERS, name_of
from comsl.errors import DataError
from comsl.model.build import build_model
from comsl.model.composite import ComSLModel

CONFIG, WEIGHTS = "config.json", "model.safetensors"
SECTION = "comsl"  # of CONFIG
BLOCKS = "language_model.mbart."  # before the language model's own names in a model's state dict
SPEECH_ENCODER = "speech_encoder."
ADAPTER = "adapter."
PARTS = (ADAPTER, SPEECH_ENCODER)  # beside the blocks; the CTC head is training's alone


def is_packed(folder: Path) -> bool:
    """Whether it is such a folder."""
    try:
        return SECTION in json.loads((folder / CONFIG).read_text("utf-8"))
    except (OSError, ValueError):
        return False


def save_packed(
    model: ComSLModel, folder: Path, half: bool = False, published: str | None = None
) -> None:
    """Write the model's files into a folder, each under a temporary name first.

    half: 16-bit weights; published: name of a published speech encoder, whose weights are left out
    where the model has the same: whoever loads it fetches them. DataError: the model has no speech
    encoder.
    """
    encoder = model.speech_encoder
    if encoder is None:
        raise DataError("a model of text alone is packed by comsl.bin.export_lm")
    shape = {"model": published} if published else {"dims": encoder.dims()}
    section = {
        "languages": list(model.languages or model.tokenizer.languages()),
        "longest": model.longest,
        "target_lang": model.target_lang,
        "speech_encoder": {"name": name_of(encoder), "silence": encoder.silence, **shape},
    }
    tensors = _tensors(model)
    if published:
        known = type(encoder)(published).state_dict(prefix=SPEECH_ENCODER)
        tensors = {
            name: tensor
            for name, tensor in tensors.items()
            if name not in known or not torch.equal(tensor, known[name])
        }
    tensors = {
        name.removeprefix(BLOCKS): tensor.half() if half else tensor
        for name, tensor in tensors.items()
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        save_file(tensors, Path(temporary, WEIGHTS), metadata={"format": "pt"})
        model.tokenizer.backend.save_pretrained(temporary)
        mbart = model.language_model.mbart
        mbart.generation_config.save_pretrained(temporary)
        config = mbart.config.to_diff_dict() | {"architectures": [type(mbart).__name__]}
        text = json.dumps(config | {SECTION: section}, indent=2, ensure_ascii=False)
        Path(temporary, CONFIG).write_text(text + "\n", "utf-8")
        folder.mkdir(exist_ok=True)
        for file in Path(temporary).iterdir():
            file.replace(folder / file.name)


def load_packed(folder: Path) -> ComSLModel:
    """The model of a folder, in single precision, in evaluation mode. Nothing in the folder is run.
    DataError: it is damaged, or incomplete."""
    section = read_section(folder)
    try:
        encoder = dict(section["speech_encoder"])
        args = Namespace(
            language_model=folder,
            language_model_conf={"from_scratch": True},
            speech_encoder=encoder.pop("name"),
            speech_encoder_conf=encoder,
            speech_adapter_conf={},
            model_conf={"alpha_mt": 0.0},
            teacher=None,
            target_lang=section["target_lang"],
            trained_on={name: section[name] for name in ("languages", "longest")},
        )
        if args.speech_encoder not in ENCODERS:
            raise DataError(f"{folder / CONFIG}: no speech encoder '{args.speech_encoder}'")
    except KeyError as error:
        raise DataError(f"{folder / CONFIG}: {SECTION} lacks {error}") from None
    model = build_model(args)
    tensors = read_tensors(folder)
    missing = _tensors(model).keys() - tensors.keys()
    if "model" in encoder:  # as published, but for what was trained
        missing = {name for name in missing if not name.startswith(SPEECH_ENCODER)}
    try:
        _, unexpected = model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise DataError(f"{folder / WEIGHTS}: not what {CONFIG} describes: {error}") from None
    if wrong := sorted([*missing, *unexpected]):
        raise DataError(f"{folder / WEIGHTS}: not what {CONFIG} describes: {wrong[0]}")
    return model.eval()


def read_section(folder: Path) -> dict:
    """What config.json says under `comsl`. DataError: it is no packed model's."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; stage 11 packs a model")
    if not is_packed(folder):
        raise DataError(
            f"{folder}: no packed model, as stage 11 makes one: no '{SECTION}' in its {CONFIG}"
        )
    return json.loads((folder / CONFIG).read_text("utf-8"))[SECTION]


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Name in a model's state dict -> tensor. DataError: the file is missing or damaged."""
    try:
        tensors = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{folder / WEIGHTS}: damaged, or not there: {error}") from None
    return {
        name if name.startswith(PARTS) else f"{BLOCKS}{name}": tensor
        for name, tensor in tensors.items()
    }


def _tensors(model: ComSLModel) -> dict[str, torch.Tensor]:
    """What is packed, by the names in the state dict; of tied tensors the first alone."""
    kept, seen = {}, set()
    for name, tensor in model.state_dict().items():
        if name.startswith((BLOCKS, *PARTS)) and tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            kept[name] = tensor.contiguous()
    return kept
