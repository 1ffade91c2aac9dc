"""What a speech encoder is. All that the rest of the package knows of one stands here; which ones
there are stands in choices.py."""

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import ClassVar

import torch
from espnet2.asr.encoder.abs_encoder import AbsEncoder
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from comsl.corpora.samples import RATE
from comsl.downloads import DOWNLOADS
from comsl.errors import DataError
from comsl.sequences import valid


class SpeechEncoder(AbsEncoder):
    """A published network of three parts: a front end (waveform to the input of the first block),
    a stack of blocks of one width, and an output (usually a norm).

    An utterance keeps its real length and gives the same states alone and in any batch. A subclass
    says what the three parts do; this class freezes, trains and recomputes them, and cuts the stack
    where states are cached. All of the network is in `self.encoder`, and nothing else that is in
    the state dict, so that CachedStates can have parameters of the same names.

    model: a published name or a path, of those that the class `knows`; silence: seconds of zeros
    appended to every utterance; trainable_blocks: how many blocks at the top train, with the
    output (0 none; None everything, the front end too); checkpointing: training keeps the input of
    each block only and computes the rest again for its gradient; downloads: where weights are kept;
    dims: what `dims()` returns, for random weights of that shape in place of `model`'s, as in tests
    or before a checkpoint is loaded.
    """

    frame_rate: ClassVar[float]  # states a second
    window: ClassVar[float]  # seconds of the longest utterance
    shortest: ClassVar[int]  # samples of the shortest, its silence included
    lora_targets: ClassVar[tuple[str, ...]]  # of a block's linear layers: query and value

    def __init__(
        self,
        model: str = "base",
        silence: float = 0.5,
        trainable_blocks: int | None = None,
        checkpointing: bool = False,
        downloads: str = DOWNLOADS,
        dims: dict | None = None,
    ):
        super().__init__()
        self.encoder = self.load(model, downloads, dims)
        self.silence = silence
        self.checkpointing = checkpointing
        self.front_end_trains = trainable_blocks is None
        self.frozen_blocks = 0
        if trainable_blocks is not None:
            self.freeze(trainable_blocks)

    # What a subclass says

    @classmethod
    @abstractmethod
    def knows(cls, model: str) -> bool:
        """Whether `model` is the name, file or folder of such an encoder."""

    @classmethod
    @abstractmethod
    def published(cls) -> list[str]:
        """Names that can be fetched, to be told to who misspelt one."""

    @classmethod
    @abstractmethod
    def published_width(cls, model: str) -> int | None:
        """Width `d` of a model's states, found without its weights; None where it can't be."""

    @abstractmethod
    def load(self, model: str, downloads: str, dims: dict | None) -> nn.Module:
        """The network, of `model` or with random weights. Buffers of the front end that are not in
        the network are registered here. DataError: there is no such model."""

    @abstractmethod
    def dims(self) -> dict:
        """The shape of the network, as plain values: a packed model is built from it."""

    @abstractmethod
    def output_size(self) -> int:
        """Width `d` of the states."""

    @abstractmethod
    def max_samples(self) -> int:
        """The longest utterance, in samples at 16 kHz."""

    @abstractmethod
    def count_states(self, samples: int) -> int:
        """States of a waveform of so many samples, its silence included."""

    @abstractmethod
    def blocks(self) -> nn.ModuleList:
        """The stack, from the bottom to the top."""

    @abstractmethod
    def front_end(self, speech: Tensor, samples: list[int]) -> Tensor:
        """Waveforms (B, samples), to which `wave` adds the silence -> input of the first block
        (B, T, d), zero after each utterance's states. The padding may hold anything."""

    @abstractmethod
    def drop_front_end(self) -> None:
        """Delete the front end: cached states stand for what it and the blocks above it do."""

    @abstractmethod
    def run_block(self, block: nn.Module, states: Tensor, mask: Tensor | None) -> Tensor:
        """States (B, T, d) through one block, which must see no padding: mask (B, T), True before
        each utterance's end, or None where no row has any."""

    @abstractmethod
    def output(self) -> nn.Module:
        """What follows the last block, (B, T, d) -> (B, T, d)."""

    # What follows from it

    def num_states(self, samples: int) -> int:
        """States of an utterance of `samples` at 16 kHz: known in advance."""
        return self.count_states(self.num_samples(samples))

    def num_samples(self, samples: int) -> int:
        """Samples of an utterance with its silence, as far as the window allows."""
        return max(samples, min(samples + round(self.silence * RATE), self.max_samples()))

    def wave(self, speech: Tensor, samples: int) -> Tensor:
        """A row of a batch, without its padding and with its silence: (num_samples,)."""
        return nn.functional.pad(speech[:samples], (0, self.num_samples(samples) - samples))

    def forward(self, speech: Tensor, speech_lengths: Tensor) -> tuple[Tensor, Tensor, None]:
        """Waveforms (B, samples), float at 16 kHz, and lengths (B,) in samples ->
        states (B, T, d), zero after their end, lengths (B,) in states, None.

        DataError: an utterance is empty or longer than the encoder's window.
        """
        states, lengths = self.states_below(0, speech, speech_lengths)
        return self._finish(states, lengths), lengths, None

    def states_below(
        self, top_blocks: int, speech: Tensor, speech_lengths: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `forward`, but the states (B, T, d) that its last `top_blocks` blocks start from."""
        below = self._number_below("top_blocks", top_blocks)
        samples = speech_lengths.tolist()
        self._check(samples)
        lengths = torch.tensor([self.num_states(n) for n in samples], device=speech.device)
        with _gradient(self.front_end_trains):
            states = self.front_end(speech, samples)
        return self._run(slice(below), states, lengths), lengths

    def run_top(self, top_blocks: int, states: Tensor, lengths: Tensor) -> Tensor:
        """What `states_below` leaves out of `forward`."""
        below = self._number_below("top_blocks", top_blocks)
        return self._finish(self._run(slice(below, None), states, lengths), lengths)

    def keep_top(self, top_blocks: int) -> None:
        """Delete what `run_top` doesn't need; what is left keeps its names."""
        for number in range(self._number_below("top_blocks", top_blocks)):
            self.blocks()[number] = nn.Identity()
        self.drop_front_end()

    def freeze(self, trainable_blocks: int) -> None:
        """Let only so many of the last blocks train, and the output after them."""
        self.frozen_blocks = self._number_below("trainable_blocks", trainable_blocks)
        self.requires_grad_(False)
        for block in self.blocks()[self.frozen_blocks :]:
            block.requires_grad_(True)
        self.output().requires_grad_(trainable_blocks > 0)

    def train_only_added(self, add: Callable[[nn.Module, tuple[str, ...]], None]) -> None:
        """Freeze all, and let `add` put trainable parameters into the blocks that would train."""
        self.requires_grad_(False)
        self.front_end_trains = False
        for block in self.blocks()[self.frozen_blocks :]:
            add(block, self.lora_targets)

    def train(self, mode: bool = True) -> "SpeechEncoder":
        """As any module, but what is frozen stays as it is in use, without dropout."""
        super().train(mode)
        self.train_parts(mode)
        return self

    def train_parts(self, mode: bool) -> None:
        """The same for the network alone."""
        self.encoder.train(mode and self.front_end_trains)
        for number, block in enumerate(self.blocks()):
            block.train(mode and number >= self.frozen_blocks)

    def _number_below(self, setting: str, number: int) -> int:
        """How many blocks are below the last `number`. DataError: there are not as many."""
        total = len(self.blocks())
        if not 0 <= number <= total:
            raise DataError(f"{setting} {number}: the encoder has {total} blocks")
        return total - number

    def _check(self, samples: list[int]) -> None:
        for index, n in enumerate(samples):
            where = f"utterance {index} of the batch ({n / RATE:.2f} s)"
            if n > self.max_samples():
                seconds = self.max_samples() / RATE
                raise DataError(f"{where} exceeds the encoder's {seconds:g} s: split it")
            if n == 0 or self.num_samples(n) < self.shortest:
                raise DataError(f"{where} is too short to encode: drop it")

    def _run(self, which: slice, states: Tensor, lengths: Tensor) -> Tensor:
        """States (B, T, d) through some of the blocks, the frozen ones without gradient."""
        mask = valid(lengths, states.shape[1])
        mask = None if mask.all() else mask
        run = self.run_block
        if self.checkpointing:
            run = partial(checkpoint, run, use_reentrant=False)
        for number, block in list(enumerate(self.blocks()))[which]:
            with _gradient(number >= self.frozen_blocks):
                states = run(block, states, mask)
        return states

    def _finish(self, states: Tensor, lengths: Tensor) -> Tensor:
        """The output of the last block's states, zero after each utterance's end."""
        return self.output()(states) * valid(lengths, states.shape[1])[..., None]


def _gradient(wanted: bool) -> torch.set_grad_enabled:
    return torch.set_grad_enabled(wanted and torch.is_grad_enabled())
