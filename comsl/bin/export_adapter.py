"""Write the adapter of a packed ComSL model as a checkpoint for --init_param.

Of any other language model, which has none: an empty checkpoint."""

from pathlib import Path

from comsl.cli import command, new_parser
from comsl.errors import DataError


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument("--language_model", required=True, help="language model: hub id or folder")
    parser.add_argument(
        "--speech_encoder", required=True, help="speech encoder whose states it will read"
    )
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    args = parser.parse_args()

    import torch
    from transformers import AutoConfig

    from comsl.encoders.choices import ENCODERS, choose
    from comsl.files import atomic_file
    from comsl.inference import find_model
    from comsl.model.packed import ADAPTER, SECTION, read_section, read_tensors

    adapter = {}
    if hasattr(AutoConfig.from_pretrained(args.language_model), SECTION):
        folder = find_model(args.language_model)
        adapter = {n: t.float() for n, t in read_tensors(folder).items() if n.startswith(ADAPTER)}
        heard = len(adapter[f"{ADAPTER}layers.0.norm.weight"])  # width of the states that it reads
        kind, wanted = choose(args.speech_encoder), read_section(folder)["speech_encoder"]["name"]
        width = ENCODERS[kind].published_width(args.speech_encoder) or heard
        if (kind, width) != (wanted, heard):
            raise DataError(
                f"{args.language_model}: its adapter reads states of {wanted}, {heard} wide;"
                f" {args.speech_encoder} is {kind}, {width} wide: choose another --language_model"
            )
    with atomic_file(args.out) as temporary:
        torch.save(adapter, temporary)


if __name__ == "__main__":
    main()
