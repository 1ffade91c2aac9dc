"""Check options of run.sh, `name=value` lines, before anything runs.

Prints those that are written otherwise from here on: languages, by Common Voice's codes."""

from comsl.cli import command, new_parser
from comsl.evaluation.comet import find_command
from comsl.languages import plain_codes
from comsl.options import check, check_machine, read_options, runs


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument("options", help="lines name=value")
    parser.add_argument("--cmd_backend", default="local", help="where jobs run, see cmd.sh")
    args = parser.parse_args()
    options = read_options(args.options)
    plain = {name: plain_codes(options[name]) for name in ("langs", "target_lang")}
    check(options | plain)
    if options["dry_run"] == "false":
        if "comet" in options["metrics"].split() and runs(options, 9):
            find_command()
        if args.cmd_backend == "local":
            check_machine(options)
    for name, value in plain.items():
        print(f"{name}={value}")


if __name__ == "__main__":
    main()
