"""What every command of `comsl.bin` shares: bad input ends in one line and a non-zero exit."""

import functools
import logging
import signal
import sys
from collections.abc import Callable

from comsl.errors import DataError
from comsl.processes import is_killed_loader

KILLED_LOADER = (
    "a process that loads data was killed, most likely because memory ran out: start again"
    " with fewer of them (num_workers) or smaller batches, or free some memory"
)


def command(main: Callable[[], None]) -> Callable[[], None]:
    """`main` as a command: DataError, OSError and the death of a data loader become `error: ...` on
    stderr, exit status 1."""

    @functools.wraps(main)
    def wrapped() -> None:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%X")
        try:
            main()
        except (DataError, OSError, EOFError, RuntimeError) as error:
            try:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # or that handler tells at any time
                killed = is_killed_loader(error)
            except RuntimeError:  # of PyTorch's handler: the signal arrives only now
                killed = True
            if not killed and not isinstance(error, DataError | OSError):
                raise
            message = KILLED_LOADER if killed else " ".join(str(error).split())
            print(f"error: {message}", file=sys.stderr)
            sys.exit(1)

    return wrapped
