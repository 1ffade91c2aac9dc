"""What every command of `comsl.bin` shares: bad input ends in one line and a non-zero exit."""

import functools
import logging
import sys
from collections.abc import Callable

from comsl.errors import DataError
from comsl.processes import loading


def command(main: Callable[[], None]) -> Callable[[], None]:
    """`main` as a command: DataError and OSError become `error: ...` on stderr, exit status 1."""

    @functools.wraps(main)
    def wrapped() -> None:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%X")
        try:
            with loading():
                main()
        except (DataError, OSError) as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            sys.exit(1)

    return wrapped
