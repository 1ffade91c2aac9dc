"""Inputs that are read, decoded and tokenized ahead of the device that works on them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

READERS = 4  # threads; reading and decoding audio leaves Python to the others
AHEAD = 4  # batches in memory beside the one that is worked on: of 32 half-minutes 60 MB each


def read_ahead[Batch, Inputs](
    read: Callable[[Batch], Inputs], batches: Iterable[Batch]
) -> Iterator[tuple[Batch, Inputs]]:
    """Every batch with what `read` makes of it, in their order.

    What `read` raises is raised where its batch is due; batches after it may have been read.
    """
    waiting = deque()
    pool = ThreadPoolExecutor(READERS)
    try:
        for batch in batches:
            waiting.append((batch, pool.submit(read, batch)))
            if len(waiting) > AHEAD:
                batch, inputs = waiting.popleft()
                yield batch, inputs.result()
        for batch, inputs in waiting:
            yield batch, inputs.result()
    finally:
        pool.shutdown(cancel_futures=True)
