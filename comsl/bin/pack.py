"""Pack a trained model into a folder for the Hugging Face hub, with its card."""

import json
from pathlib import Path

from comsl.cli import command, new_parser
from comsl.errors import DataError


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="experiment or checkpoint")
    parser.add_argument("--report", type=Path, help="results.json of stage 9, for the card")
    parser.add_argument("--about", type=Path, help="Markdown on data and licences, for the card")
    parser.add_argument("--half", action="store_true", help="store 16-bit weights")
    parser.add_argument(
        "--published_encoder",
        metavar="NAME",
        help="published speech encoder, whose weights are left out and fetched on loading",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    args = parser.parse_args()

    from comsl.evaluation.card import write_card
    from comsl.inference import choose_checkpoint, load_model
    from comsl.model.packed import WEIGHTS, save_packed

    results = read_results(args.report) if args.report else None
    about = args.about.read_text("utf-8") if args.about else ""
    model = load_model(choose_checkpoint(args.model))
    save_packed(model, args.out, args.half, args.published_encoder)
    write_card(args.out, results, about)
    print(f"{args.out}: {(args.out / WEIGHTS).stat().st_size / 1e6:.0f} MB")


def read_results(path: Path) -> dict:
    """DataError: it isn't what stage 9 writes."""
    try:
        results = json.loads(path.read_text("utf-8"))
    except ValueError:
        results = None
    if not isinstance(results, dict) or not {"systems", "run"} <= results.keys():
        raise DataError(f"{path}: not the results.json of stage 9")
    return results


if __name__ == "__main__":
    main()
