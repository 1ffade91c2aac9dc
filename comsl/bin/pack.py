"""Pack a trained model into one zip that `SpeechTranslator.from_pretrained` loads."""

import argparse
from pathlib import Path

from comsl.cli import command


@command
def main() -> None:
    """Command-line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="Experiment or checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="Zip to write")
    args = parser.parse_args()

    from comsl.inference import pack_model

    pack_model(args.model, args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
