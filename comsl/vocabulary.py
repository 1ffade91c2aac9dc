"""What a tokenizer of our own can write: all characters of its languages, all others by bytes.

SentencePiece has pieces for the characters that are frequent in its text; what it has none for,
such as a capital Ж or a typographic apostrophe, would be `<unk>`.
"""

import json
import re
import string
import unicodedata
from collections.abc import Sequence

import numpy as np

# English, Spanish, French, Italian, Dutch and Russian, their punctuation, and usual signs.
_LOWER = "abcdefghijklmnopqrstuvwxyzáàâäæçéèêëíìîïñóòôöœúùûüÿабвгдеёжзийклмнопрстуфхцчшщъыьэюя"
_MARKS = "¡¿«»‹›“”„‘’‚–—―…·•′″−×÷±°%‰€£$§©®™№ªº²³½¼¾µ←→↔"
CHARACTERS = "".join(
    dict.fromkeys(
        string.digits + string.punctuation + _LOWER + "".join(map(str.upper, _LOWER)) + _MARKS
    )
)
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))

# Typographic marks, and those of a typewriter in their place.
TYPEWRITER = dict.fromkeys("‘’‚′", "'") | dict.fromkeys("“”„«»‹›″", '"')
TYPEWRITER |= dict.fromkeys("–—―−", "-") | {"…": "...", "œ": "oe", "æ": "ae"}

QUOTES = ("“{}”", "«{}»", "« {} »", "„{}“")

# Lower than any piece's, so that a text which holds such a word is never taken for the token.
CONTROL_SCORE = -1000.0


def cover(backend) -> tuple:
    """A Unigram tokenizer of transformers, made to lack no character; and its new pieces.

    Behind the old pieces, which keep their ids, stand those of CHARACTERS that it lacks, and BYTES,
    which spell all else. Texts become NFC with single spaces, and otherwise stay as they are: what
    can be read can be written. mBART-50's own class would drop this when it is loaded.
    """
    from tokenizers import Regex, Tokenizer, decoders, normalizers
    from transformers import PreTrainedTokenizerFast

    known = backend.get_vocab()
    new = [piece for piece in (*CHARACTERS, *BYTES) if piece not in known]
    tokenizer = Tokenizer.from_str(backend.backend_tokenizer.to_str())
    tokenizer.model = pieces_of_texts(tokenizer, new)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    covering = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        split_special_tokens=True,  # of a text
        extra_special_tokens=backend.extra_special_tokens,
        **backend.special_tokens_map,
    )
    return covering, new


def pieces_of_texts(tokenizer, new: Sequence[str] = ()):
    """The model of a `tokenizers.Tokenizer`, with the pieces `new` behind its own, that finds no
    control token in a text: SentencePiece's own finds none, this library's Unigram does."""
    from tokenizers.models import Unigram

    if not isinstance(tokenizer.model, Unigram):  # of BPE no merge makes a control token
        return tokenizer.model
    settings = json.loads(tokenizer.to_str())
    model = settings["model"]
    control = {token["content"] for token in settings["added_tokens"]}.union(BYTES)
    rarest = min(score for piece, score in model["vocab"] if piece not in control)
    scores = [
        (piece, CONTROL_SCORE if piece in control else score)
        for piece, score in (*model["vocab"], *((piece, rarest) for piece in new))
    ]
    return Unigram(scores, model["unk_id"], byte_fallback=model["byte_fallback"] or bool(new))


def alike(character: str, known: dict[str, int]) -> list[int]:
    """Ids of the known pieces that a new character most resembles: what a typewriter has for it,
    the letter in the other case, the letter without its accents; of a byte none."""
    bare = unicodedata.normalize("NFD", character)[0]
    for spelling in (TYPEWRITER.get(character.lower(), ""), character.swapcase(), bare):
        pieces = [spelling] if spelling in known else list(spelling)
        if pieces and spelling != character and all(piece in known for piece in pieces):
            return [known[piece] for piece in pieces]
    return []


def typeset(text: str) -> str:
    """A text of a typewriter as a printer would set it: apostrophes, dashes, ellipses, and one of
    the kinds of quotation marks, by chance."""
    quotes = QUOTES[np.random.randint(len(QUOTES))]
    text = re.sub(r'"([^"]*)"', lambda match: quotes.format(match[1]), text)
    return text.replace("'", "’").replace(" - ", " – ").replace("...", "…")
