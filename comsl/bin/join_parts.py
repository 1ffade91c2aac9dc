"""Join what the jobs of a command have made (`comsl/parts.py`)."""

from pathlib import Path

from comsl.cli import command, new_parser
from comsl.parts import join


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the command's --out")
    parser.add_argument("--num_jobs", type=int, required=True, help="jobs that shared the work")
    args = parser.parse_args()
    if args.num_jobs > 1:  # one alone has joined its own
        join(args.out, args.num_jobs)


if __name__ == "__main__":
    main()
