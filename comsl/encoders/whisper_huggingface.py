"""Whisper's encoder as transformers has it, such as distil-whisper's, as openai-whisper has it."""

import torch
from whisper.model import AudioEncoder

from comsl.errors import DataError

# Beginnings of transformers' names, and of openai-whisper's.
NAMES = {
    "embed_positions.weight": "positional_embedding",
    "layer_norm.": "ln_post.",
    "self_attn.q_proj.": "attn.query.",
    "self_attn.k_proj.": "attn.key.",
    "self_attn.v_proj.": "attn.value.",
    "self_attn.out_proj.": "attn.out.",
    "self_attn_layer_norm.": "attn_ln.",
    "fc1.": "mlp.0.",
    "fc2.": "mlp.2.",
    "final_layer_norm.": "mlp_ln.",
}


def load_encoder(model: str) -> AudioEncoder:
    """The encoder of a folder or hub id. DataError: there is none."""
    from transformers import AutoModel

    try:
        encoder = AutoModel.from_pretrained(model, dtype=torch.float32).get_encoder()
    except (OSError, ValueError) as error:
        raise DataError(f"'{model}': no Whisper could be loaded: {error}") from error
    config = encoder.config
    ours = AudioEncoder(
        n_mels=config.num_mel_bins,
        n_ctx=config.max_source_positions,
        n_state=config.d_model,
        n_head=config.encoder_attention_heads,
        n_layer=config.encoder_layers,
    )
    ours.load_state_dict({_renamed(name): w for name, w in encoder.state_dict().items()})
    return ours


def _renamed(name: str) -> str:
    block, inner = "", name
    if name.startswith("layers."):
        _, number, inner = name.split(".", 2)
        block = f"blocks.{number}."
    for theirs, ours in NAMES.items():
        if inner.startswith(theirs):
            return block + ours + inner.removeprefix(theirs)
    return name  # of the convolutions
