"""Check options of run.sh, `name=value` lines, before anything runs."""

from comsl.cli import command, new_parser
from comsl.options import check, check_machine, read_options


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument("options", help="lines name=value")
    parser.add_argument("--cmd_backend", default="local", help="where jobs run, see cmd.sh")
    args = parser.parse_args()
    options = read_options(args.options)
    check(options)
    if args.cmd_backend == "local" and options["dry_run"] == "false":
        check_machine(options)


if __name__ == "__main__":
    main()
