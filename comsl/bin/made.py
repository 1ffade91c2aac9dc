"""Ask whether a thing is up to date with what it is made from (comsl/made.py).

Prints where to write it, and ends with 0; or ends with 3 where it is made. With --finish it says
instead that the thing is whole.
"""

import argparse
import sys
from pathlib import Path

from comsl import made
from comsl.cli import command, new_parser
from comsl.errors import DataError

MADE_ALREADY = 3


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("out", type=Path, help="the thing, a folder or a file")
    add(
        "--earlier",
        choices=made.EARLIER,
        default=made.REPLACE,
        help="what happens to an earlier one",
    )
    add("--deletable", action="store_true", help="it may be deleted once it has been made")
    add("--from", dest="reads", type=Path, nargs="*", default=[], help="what it reads")
    add(
        "--cached",
        type=Path,
        nargs="*",
        default=[],
        help="what it reads too, which may be deleted once it is made",
    )
    add("--finish", action="store_true", help="what was begun is complete now")
    add("--by", nargs="*", default=[], metavar="NAME=VALUE", help="settings")
    return parser.parse_args()


@command
def main() -> None:
    """Command-line entry."""
    args = parse_args()
    if args.finish:
        made.finish(args.out)
        return
    settings = dict(word.split("=", 1) for word in args.by)
    try:
        wanted = made.describe(settings, args.reads, args.cached)
        new = made.begin(args.out, wanted, args.earlier, args.deletable)
    except made.NotMade as error:
        hint = "begin with an earlier stage, what is made is skipped"
        raise DataError(f"{args.out} {error}: {hint}") from None
    if new is None:
        sys.exit(MADE_ALREADY)
    print(new)


if __name__ == "__main__":
    main()
