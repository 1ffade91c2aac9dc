"""Where somebody speaks: silero-vad, whose ONNX model is a file of the package of that name."""

from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

FRAME, CONTEXT = 512, 64  # samples at 16 kHz: what a probability is of, and what is heard before
STATE = (1, 1, 128)


def speech_probabilities(blocks: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Audio in blocks (T,), 16 kHz -> the same in other blocks, each with the probabilities
    (ceil(T / FRAME),) that its frames are speech. All blocks but the last are of whole frames, and
    the model remembers what was before."""
    context = np.zeros((1, CONTEXT), np.float32)
    state = {"h": np.zeros(STATE, np.float32), "c": np.zeros(STATE, np.float32)}
    for block in _of_whole_frames(blocks):
        frames = np.pad(block, (0, -len(block) % FRAME)).reshape(-1, FRAME)
        contexts = np.concatenate([context, frames[:-1, -CONTEXT:]])
        context = frames[-1:, -CONTEXT:]
        inputs = state | {"input": np.concatenate([contexts, frames], axis=1)}
        probabilities, *hidden = _model().run(["speech_probs", "hn", "cn"], inputs)
        state = dict(zip(("h", "c"), hidden, strict=True))
        yield block, probabilities.reshape(-1)


def _of_whole_frames(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The same audio in blocks of whole frames, but for the last; none is empty."""
    left = np.zeros(0, np.float32)
    for block in blocks:
        left = np.concatenate([left, block])
        whole = len(left) // FRAME * FRAME
        if whole:
            yield left[:whole]
            left = left[whole:]
    if len(left):
        yield left


@cache
def _model():
    """A session on one thread. The package itself isn't imported: that would set the number of
    PyTorch's threads to one."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    folder = Path(find_spec("silero_vad").submodule_search_locations[0])
    file = folder / "data" / "silero_vad_16k_sequence.onnx"
    return InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
