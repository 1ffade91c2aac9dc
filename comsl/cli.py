"""What commands of `comsl.bin` share: bad input ends in one line and a non-zero exit."""

import argparse
import functools
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from comsl.errors import DataError
from comsl.processes import is_killed_loader

KILLED_LOADER = (
    "a process that loads data was killed, most likely because memory ran out: start again"
    " with fewer of them (num_workers) or smaller batches, or free some memory"
)


def command(main: Callable[[], None]) -> Callable[[], None]:
    """`main` as a command: DataError, OSError and the death of a data loader become `error: ...` on
    stderr, exit status 1; Ctrl-C ends it as it ends any program, but in one line. SIGTERM, as
    queues send it, lets it remove its temporary files."""

    @functools.wraps(main)
    def wrapped() -> None:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%X")
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
        try:
            main()
        except KeyboardInterrupt:
            sys.excepthook = lambda *_: print("interrupted", file=sys.stderr)
            raise
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


class OptionHelp(argparse.HelpFormatter):
    """Help that ends with the option's default, where it has one."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        told = action.default in (None, False, "", argparse.SUPPRESS) or action.default == []
        return text if told else f"{text} (default: %(default)s)"


def new_parser(text: str, **settings) -> argparse.ArgumentParser:
    """A command's parser. text: what the command does; settings: more of ArgumentParser's."""
    return argparse.ArgumentParser(description=text, formatter_class=OptionHelp, **settings)


def add_sets(parser: argparse.ArgumentParser, what: str) -> None:
    """`--raw`, `--set` and `--langs`. what: what the command does with these sets."""
    parser.add_argument("--raw", type=Path, required=True, help="folder of the sets (stage 2)")
    parser.add_argument("--set", default="test", help=f'{what}, such as "test"')
    parser.add_argument("--langs", required=True, help='their languages, such as "fr it"')


def corpus_parser(text: str, out: str) -> argparse.ArgumentParser:
    """The options of all tools that prepare a corpus. text: what the tool does; out: default."""
    parser = new_parser(text, allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=Path(out), help="output directory")
    parser.add_argument("--langs", required=True, help='source languages, such as "fr it"')
    parser.add_argument("--nj", type=int, default=os.cpu_count(), help="parallel processes")
    parser.add_argument(
        "--max_dropped", type=float, default=0.05, help="share of a language that may be unusable"
    )
    return parser


def parse_corpus(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """What was typed. DataError: no process at all."""
    args = parser.parse_args()
    if args.nj < 1:
        raise DataError(f"--nj {args.nj}: at least one process, please")
    return args
