"""What every command of `comsl.bin` shares: bad input ends in one line and a non-zero exit."""

import logging
import sys
from collections.abc import Callable

from comsl.errors import DataError


def run(main: Callable[[], None]) -> None:
    """Call `main`; turn DataError and OSError into `error: ...` on stderr and exit status 1."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        main()
    except (DataError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
