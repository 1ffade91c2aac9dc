"""Write the adapter of a packed model as a checkpoint for --init_param.

Composite training starts from that model's language blocks."""

from pathlib import Path

from comsl.cli import command, new_parser
from comsl.errors import DataError


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument("--model", required=True, help="packed model: folder or hub id")
    parser.add_argument(
        "--speech_encoder", required=True, help="speech encoder whose states it will read"
    )
    parser.add_argument(
        "--language_model", required=True, help="language model whose tokens it will write"
    )
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    args = parser.parse_args()

    import torch

    from comsl.corpora.kaldi import atomic_file
    from comsl.encoders.choices import ENCODERS, choose
    from comsl.inference import find_model
    from comsl.model.packed import ADAPTER, read_section, read_tensors
    from comsl.tokenizer import Tokenizer

    folder = find_model(args.model)
    tensors = read_tensors(folder)
    heard = len(tensors[f"{ADAPTER}layers.0.norm.weight"])  # width of the states that it reads
    kind, wanted = choose(args.speech_encoder), read_section(folder)["speech_encoder"]["name"]
    width = ENCODERS[kind].published_width(args.speech_encoder) or heard
    if (kind, width) != (wanted, heard):
        raise DataError(
            f"{args.model}: its adapter reads states of {wanted}, {heard} wide;"
            f" {args.speech_encoder} is {kind}, {width} wide"
        )
    vocabularies = [Tokenizer(path).backend.get_vocab() for path in (folder, args.language_model)]
    if vocabularies[0] != vocabularies[1]:
        raise DataError(
            f"{args.model}: its tokens are others than those of {args.language_model}: start"
            " without it (--init_model ''), or from the language model that it started from"
        )
    start = {name: t.float() for name, t in tensors.items() if name.startswith(ADAPTER)}
    with atomic_file(args.out) as temporary:
        torch.save(start, temporary)


if __name__ == "__main__":
    main()
