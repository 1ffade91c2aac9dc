"""Work spread over processes."""

import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import batched, chain

from comsl.errors import DataError
from comsl.read_ahead import work_ahead

AHEAD = 4  # chunks a process that wait


def in_processes[Item, Result](
    nj: int,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    total: int,
    chunk: int,
    what: str,
    unit: str,
) -> Iterator[tuple[Item, Result]]:
    """Every item with what `function` makes of it, by `nj` processes, in the items' order; `chunk`
    of them are handed over at a time, few are in memory, and a bar tells how many `unit`s of `what`
    are done.

    DataError: a process was killed, which leaves the others' work unfinished.
    """
    from tqdm import tqdm

    chunks = batched(items, chunk)
    done = work_ahead(ProcessPoolExecutor(nj), partial(_each, function), chunks, AHEAD * nj)
    pairs = chain.from_iterable(zip(*both, strict=True) for both in done)
    try:
        yield from tqdm(pairs, total=total, desc=what, unit=unit, mininterval=5)
    except BrokenProcessPool:
        raise DataError(
            f"{what}: one of {nj} processes was killed, most likely because memory ran out:"
            " start again with fewer of them (--nj), or free some memory"
        ) from None


def _each[Item, Result](function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    return [function(item) for item in items]


def is_killed_loader(error: Exception) -> bool:
    """Whether `error` says that a process of a PyTorch data loader was killed: PyTorch's handler of
    the signal says so, or what reads from the process finds it gone."""
    if isinstance(error, RuntimeError):
        return str(error).startswith("DataLoader worker")
    if not isinstance(error, OSError | EOFError):
        return False
    stack = traceback.extract_tb(error.__traceback__)
    return any("/multiprocessing/" in frame.filename for frame in stack)
