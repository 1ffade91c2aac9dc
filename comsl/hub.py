"""The Hugging Face hub: whether it can be reached, and what is here without it."""

from pathlib import Path

from comsl.errors import DataError

TIMEOUT = 4  # seconds until it counts as out of reach


def unreachable() -> str:
    """Why the hub can't be reached; empty where it can.

    It is asked once and briefly: its client and transformers would wait for it again and again,
    file by file. If it doesn't answer, this process is offline from then on, as HF_HUB_OFFLINE=1
    makes it: what was fetched before is used, all else fails at once.
    """
    from httpx2 import TransportError
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return "this process is offline"
    try:
        get_session().head(constants.ENDPOINT, timeout=TIMEOUT)
    except TransportError as error:
        constants.HF_HUB_OFFLINE = True
        return str(error) or type(error).__name__
    return ""


def check_model(name: str | Path) -> None:
    """DataError: a model that is neither a folder here, nor was fetched before, nor can be now."""
    name = str(name)
    if name.count("/") > 1 or Path(name).exists():
        return
    if reason := unreachable():
        from huggingface_hub import try_to_load_from_cache

        if not isinstance(try_to_load_from_cache(name, "config.json"), str):
            raise DataError(f"{name}: no such folder here, and the hub can't be reached ({reason})")
