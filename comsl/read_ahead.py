"""Inputs that are read, decoded and tokenized ahead of the device that works on them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

READERS = 4  # threads; reading and decoding audio leaves Python to the others
AHEAD = 4  # batches in memory beside the one that is worked on: of 32 half-minutes 60 MB each


def read_ahead[Batch, Inputs](
    read: Callable[[Batch], Inputs], batches: Iterable[Batch]
) -> Iterator[tuple[Batch, Inputs]]:
    """Every batch with what `read` makes of it, in their order.

    What `read` raises is raised where its batch is due; batches after it may have been read.
    """
    return work_ahead(ThreadPoolExecutor(READERS), read, batches, AHEAD)


def work_ahead[Batch, Result](
    pool: Executor, work: Callable[[Batch], Result], batches: Iterable[Batch], number: int
) -> Iterator[tuple[Batch, Result]]:
    """The same in a pool, which is shut down at the end; so many batches at most wait for it."""
    waiting = deque()
    try:
        for batch in batches:
            waiting.append((batch, pool.submit(work, batch)))
            if len(waiting) > number:
                batch, result = waiting.popleft()
                yield batch, result.result()
        for batch, result in waiting:
            yield batch, result.result()
    finally:
        pool.shutdown(cancel_futures=True)
