"""Check options of run.sh, `name=value` lines, before anything runs."""

from comsl.cli import command, new_parser
from comsl.options import check, check_gpus, read_options


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument("options", help="lines name=value")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs that there must be here")
    args = parser.parse_args()
    check(read_options(args.options))
    check_gpus(args.gpus)


if __name__ == "__main__":
    main()
