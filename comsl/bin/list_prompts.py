"""Write what the Asterisk prompts say in all their languages, one text a line."""

import argparse
from pathlib import Path

from comsl.cli import command, new_parser
from comsl.downloads import DOWNLOADS

LANGS = ("en", "es", "fr", "it", "ru")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = new_parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    parser.add_argument("--corrections", type=Path, required=True, help="language, wrong, right")
    return parser


@command
def main() -> None:
    """Write the texts as they are in the scripts, cleaned, and corrected and cleaned."""
    args = parser().parse_args()

    from comsl.corpora import debian
    from comsl.corpora.asterisk_text import clean, read_corrections, read_script
    from comsl.files import write_text

    texts = set()
    for lang in LANGS:
        name = f"asterisk-core-sounds-{lang}"
        folder = debian.fetch([name], Path(DOWNLOADS))[name]
        script = folder / f"usr/share/doc/{name}/core-sounds-{lang}.txt.gz"
        for corrections in ([], read_corrections(args.corrections, lang)):
            for text in read_script(script, corrections).values():
                texts |= {text, clean(text)}
    write_text(args.out, "".join(f"{text}\n" for text in sorted(texts)))


if __name__ == "__main__":
    main()
