"""Interpolate between a language model's weights before and after fine-tuning.

Fine-tuned on few texts, it forgets what it knew of others; between the two it keeps most of both
(WiSE-FT, Wortsman et al. 2022). It may be alone, or the language blocks of a composite model.
"""

from pathlib import Path

from comsl.cli import command, new_parser
from comsl.errors import DataError
from comsl.files import atomic_file


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="experiment of the fine-tuning")
    parser.add_argument("--start", required=True, help="language model that it started from")
    parser.add_argument(
        "--share", type=float, required=True, help="share of the fine-tuned weights, 0 to 1"
    )
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    args = parser.parse_args()
    if not 0 <= args.share <= 1:
        raise DataError(f"--share {args.share}: from 0, as it started, to 1, as fine-tuned")

    import torch

    from comsl.model.checkpoints import trained_checkpoint
    from comsl.model.language_model import LanguageModel

    checkpoint = trained_checkpoint(args.model)
    if args.share == 1 and args.out.parent == checkpoint.parent:  # nothing to compute or store
        args.out.unlink(missing_ok=True)
        args.out.symlink_to(checkpoint.name)
        return
    tuned = torch.load(checkpoint, map_location="cpu", weights_only=True)
    started = LanguageModel(args.start).state_dict(prefix="language_model.")
    if started.keys() != {name for name in tuned if name.startswith("language_model.")}:
        raise DataError(f"{args.start}: not what {args.model} was fine-tuned from")
    mixed = {name: torch.lerp(start, tuned[name], args.share) for name, start in started.items()}
    with atomic_file(args.out) as temporary:
        torch.save(tuned | mixed, temporary)


if __name__ == "__main__":
    main()
