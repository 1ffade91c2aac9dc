"""Speech blocks whose states were computed in advance (docs/how-it-works.md)."""

from collections.abc import Callable

from espnet2.asr.encoder.abs_encoder import AbsEncoder
from torch import Tensor, nn

from comsl.downloads import DOWNLOADS
from comsl.encoders.choices import encoder_class
from comsl.errors import DataError


class CachedStates(AbsEncoder):
    """In a speech encoder's place when its states were computed in advance (stage 5): passes them
    on, or, where they are from below its last `top_blocks` blocks, runs those.

    Parameters bear the encoder's own names, so that checkpoints of either fit the other.

    model, silence: of the encoder that made them, which takes this one's place when the trained
    model is used; input_size: their width `d`, where `model` is a checkpoint's path;
    trainable_blocks, checkpointing, downloads, dims: as SpeechEncoder has them.
    DataError: the width is not known, or more blocks are to train than run.
    """

    def __init__(
        self,
        input_size: int | None = None,
        model: str = "base",
        silence: float = 0.5,
        top_blocks: int = 0,
        trainable_blocks: int | None = None,
        checkpointing: bool = False,
        downloads: str = DOWNLOADS,
        dims: dict | None = None,
    ):
        super().__init__()
        self.top_blocks = top_blocks
        if (trainable_blocks or 0) > top_blocks:
            raise DataError(
                f"speech_encoder_conf: trainable_blocks {trainable_blocks}, but only the top"
                f" {top_blocks} run on cached states: set --top_blocks {trainable_blocks}"
            )
        if top_blocks:
            whole = encoder_class(model)(model, silence, None, checkpointing, downloads, dims)
            whole.keep_top(top_blocks)
            whole.freeze(top_blocks if trainable_blocks is None else trainable_blocks)
            self.encoder = whole.encoder  # its parameters are this module's
            self._whole = (whole,)  # in a tuple: no module of this one, whose names would be others
            input_size = whole.output_size()
        kind = encoder_class(model)
        self.frame_rate = kind.frame_rate
        self.input_size = input_size or kind.published_width(model)
        if self.input_size is None:
            raise DataError(f"speech_encoder_conf: '{model}' needs its width too, as input_size")

    def train_only_added(self, add: Callable[[nn.Module, tuple[str, ...]], None]) -> None:
        """As SpeechEncoder has it, of the blocks that run here."""
        if self.top_blocks:
            self._whole[0].train_only_added(add)

    def train(self, mode: bool = True) -> "CachedStates":
        """As SpeechEncoder has it."""
        super().train(mode)
        if self.top_blocks:
            self._whole[0].train_parts(mode)
        return self

    def output_size(self) -> int:
        return self.input_size

    def forward(self, states: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, None]:
        """Cached states (B, T, d) and lengths (B,) in states -> the encoder's, lengths, None.
        DataError: they are of another width."""
        if states.shape[-1] != self.input_size:
            raise DataError(
                f"cached states are {states.shape[-1]} wide, the speech encoder's {self.input_size}"
                ": speech_encoder_conf must name the model that stage 5 ran"
            )
        states = states[:, : lengths.max()]
        if self.top_blocks:
            (whole,) = self._whole
            states = whole.run_top(self.top_blocks, states, lengths)
        return states, lengths, None
