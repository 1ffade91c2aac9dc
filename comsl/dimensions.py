"""Published dimensions of Whisper's encoders, mBART-50 and NLLB-200, for what is built without
them, and the adapter's between the two."""

ADAPTER_RATE = 12.5  # states a second of the adapter: a quarter of Whisper's


def downsampling(frame_rate: float) -> int:
    """States of a speech encoder, of so many a second, for one of the adapter."""
    return int(frame_rate / ADAPTER_RATE)


def _encoder(width: int, heads: int, layers: int, n_mels: int = 80) -> dict[str, int]:
    return dict(n_mels=n_mels, n_ctx=1500, n_state=width, n_head=heads, n_layer=layers)


# Keywords of openai-whisper's AudioEncoder.
WHISPER = {
    "tiny": _encoder(384, 6, 4),
    "base": _encoder(512, 8, 6),
    "small": _encoder(768, 12, 12),
    "medium": _encoder(1024, 16, 24),
    "large-v1": _encoder(1280, 20, 32),
    "large-v2": _encoder(1280, 20, 32),
    "large-v3": _encoder(1280, 20, 32, n_mels=128),
    "large": _encoder(1280, 20, 32, n_mels=128),  # openai-whisper's name of the newest
    "large-v3-turbo": _encoder(1280, 20, 32, n_mels=128),  # its decoder alone is smaller
    "turbo": _encoder(1280, 20, 32, n_mels=128),
}

# Keywords of M2M100Config, of facebook/nllb-200-distilled-600M.
NLLB_600M = dict(
    vocab_size=256206,
    d_model=1024,
    encoder_layers=12,
    decoder_layers=12,
    encoder_ffn_dim=4096,
    decoder_ffn_dim=4096,
    encoder_attention_heads=16,
    decoder_attention_heads=16,
    max_position_embeddings=1024,
    scale_embedding=True,
)

# Keywords of MBartConfig.
MBART_50 = dict(
    vocab_size=250054,
    d_model=1024,
    encoder_ffn_dim=4096,
    decoder_ffn_dim=4096,
    encoder_layers=12,
    decoder_layers=12,
    max_position_embeddings=1024,
    activation_function="relu",
    scale_embedding=True,
    decoder_start_token_id=2,
)
