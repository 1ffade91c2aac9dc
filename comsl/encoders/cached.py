"""Speech blocks whose states were computed in advance (method.md, section 4)."""

from espnet2.asr.encoder.abs_encoder import AbsEncoder
from torch import Tensor, nn

from comsl.dimensions import WHISPER
from comsl.encoders.whisper import freeze, load_encoder, normalise, run_blocks, top_of
from comsl.errors import DataError


class CachedStates(AbsEncoder):
    """In the encoder's place when its states were computed in advance (stage 5): passes them on,
    or, where they are from below its last `top_blocks` blocks, runs those.

    Parameters bear WhisperEncoder's names, so that checkpoints of either fit the other.

    model, silence: the WhisperEncoder that made them, which takes this one's place when the
    trained model is used; input_size: their width `d`, where `model` is a checkpoint's path;
    trainable_blocks, checkpointing, downloads, dims: as WhisperEncoder has them.
    DataError: the width is not known.
    """

    def __init__(
        self,
        input_size: int | None = None,
        model: str = "base",
        silence: float = 0.5,
        top_blocks: int = 0,
        trainable_blocks: int | None = None,
        checkpointing: bool = False,
        downloads: str = "downloads",
        dims: dict[str, int] | None = None,
    ):
        super().__init__()
        if input_size is None and model not in WHISPER:
            raise DataError(f"speech_encoder_conf: '{model}' needs its width too, as input_size")
        self.input_size = input_size or WHISPER[model]["n_state"]
        self.checkpointing = checkpointing
        self.encoder = None
        if top_blocks:
            whole = load_encoder(model, downloads, dims)
            blocks = top_of(whole, top_blocks)
            self.encoder = nn.Module()
            self.encoder.blocks = nn.ModuleDict(blocks)
            self.encoder.ln_post = whole.ln_post
            trainable_blocks = top_blocks if trainable_blocks is None else trainable_blocks
            self.frozen_blocks = freeze(self.encoder, list(blocks.values()), trainable_blocks)

    def output_size(self) -> int:
        return self.input_size

    def forward(self, states: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, None]:
        """Cached states (B, T, d) and lengths (B,) in frames -> the encoder's, lengths, None.
        DataError: they are of another width."""
        if states.shape[-1] != self.input_size:
            raise DataError(
                f"cached states are {states.shape[-1]} wide, the speech encoder's {self.input_size}"
                ": speech_encoder_conf must name the model that stage 5 ran"
            )
        states = states[:, : lengths.max()]
        if self.encoder is not None:
            blocks = self.encoder.blocks.values()
            states = run_blocks(blocks, self.frozen_blocks, states, lengths, self.checkpointing)
            states = normalise(self.encoder.ln_post, states, lengths)
        return states, lengths, None
