"""Upload a packed model to the Hugging Face hub, as the user of HF_TOKEN or `hf auth login`."""

from pathlib import Path

from comsl.cli import command, new_parser
from comsl.errors import DataError
from comsl.hub import unreachable


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="packed model")
    parser.add_argument("--hf_repo", required=True, help="where to upload it: name/model")
    args = parser.parse_args()

    from httpx2 import TransportError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    from comsl.model.packed import read_section

    read_section(args.model)
    if reason := unreachable():
        raise DataError(f"{args.hf_repo}: the hub can't be reached ({reason})")
    try:
        hub = HfApi()
        hub.create_repo(args.hf_repo, exist_ok=True)
        done = hub.upload_folder(repo_id=args.hf_repo, folder_path=args.model)
    except (HfHubHTTPError, TransportError, ValueError) as error:
        raise DataError(f"{args.hf_repo}: the hub refused the upload: {error}") from None
    print(f"{args.model} -> {done.repo_url}")


if __name__ == "__main__":
    main()
