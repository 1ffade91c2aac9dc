"""Work spread over processes."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

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


def is_killed_loader(error: Exception) -> bool:
    """Whether `error` says that a process of a PyTorch data loader was killed: PyTorch's handler of
    the signal says so, or what reads from the process finds it gone."""
    if isinstance(error, RuntimeError):
        return str(error).startswith("DataLoader worker")
    if not isinstance(error, OSError | EOFError):
        return False
    stack = traceback.extract_tb(error.__traceback__)
    return any("/multiprocessing/" in frame.filename for frame in stack)
