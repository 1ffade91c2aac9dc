"""Work spread over processes."""

import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from comsl.errors import DataError


def in_processes[Item, Result](
    nj: int,
    function: Callable[[Item], Result],
    items: Sequence[Item],
    chunk: int,
    what: str,
    unit: str,
) -> Iterator[Result]:
    """`function` of every item, by `nj` processes, in the items' order; `chunk` of them are handed
    over at a time, and a bar tells how many `unit`s of `what` are done.

    DataError: a process was killed, which leaves the others' work unfinished.
    """
    from tqdm import tqdm

    with ProcessPoolExecutor(nj) as pool:
        work = pool.map(function, items, chunksize=chunk)
        try:
            yield from tqdm(work, total=len(items), desc=what, unit=unit, mininterval=5)
        except BrokenProcessPool:
            raise DataError(
                f"{what}: one of {nj} processes was killed, most likely because memory ran out:"
                " start again with fewer of them (--nj), or free some memory"
            ) from None


@contextmanager
def loading() -> Iterator[None]:
    """A block in which PyTorch's data loaders may have processes. DataError: one was killed."""
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError) as error:
        # PyTorch's handler of the signal says so, or what reads from the process finds it gone.
        told = str(error).startswith("DataLoader worker")
        stack = (frame.filename for frame in traceback.extract_tb(error.__traceback__))
        gone = not isinstance(error, RuntimeError) and any("/torch/utils/data/" in f for f in stack)
        if not (told or gone):
            raise
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # or it says so once more, at any time
        raise DataError(
            "a process that loads data was killed, most likely because memory ran out: start again"
            " with fewer of them (num_workers) or smaller batches, or free some memory"
        ) from None
