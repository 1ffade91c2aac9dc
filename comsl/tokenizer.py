"""Text to and from mBART-50's token sequences, `[code, tokens, </s>]` (method.md, section 1)."""

import unicodedata
from pathlib import Path

from comsl.errors import DataError
from comsl.languages import language

# How Unicode's names begin for the letters of scripts that put no space between words.
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")


class Tokenizer:
    """mBART-50's tokenizer, by Common Voice language codes.

    path: Hugging Face hub id or folder. Raises DataError where none can be loaded from it.
    """

    def __init__(self, path: str | Path):
        from transformers import AutoTokenizer

        try:
            self.backend = AutoTokenizer.from_pretrained(str(path))
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"no tokenizer could be loaded from '{path}': {error}") from error
        self.path = path
        self.pad_id = self.backend.pad_token_id
        self.eos_id = self.backend.eos_token_id
        self.mask_id = self.backend.mask_token_id
        self._vocabulary = self.backend.get_vocab()

    def __len__(self) -> int:
        return len(self.backend)

    def add_languages(self, langs: list[str]) -> list[str]:
        """Give each of these languages that has no token one, behind all others; which they are.

        mBART-50 has none for Catalan and Welsh (method.md, section 2).
        """
        tokens = [language(lang).mbart for lang in langs]
        missing = [token for token in tokens if token not in self._vocabulary]
        self.backend.add_tokens(missing, special_tokens=True)
        self._vocabulary = self.backend.get_vocab()
        return missing

    def code(self, lang: str) -> int:
        """Token id of a language; DataError where the tokenizer lacks its code."""
        token = language(lang).mbart
        # The backend would silently answer <unk> for a code that it does not have.
        if token not in self._vocabulary:
            raise DataError(f"the tokenizer of '{self.path}' has no token {token} for '{lang}'")
        return self._vocabulary[token]

    def encode(self, text: str, lang: str) -> list[int]:
        """`[code, tokens of text, </s>]`."""
        ids = self.backend(text, add_special_tokens=False)["input_ids"]
        return [self.code(lang), *ids, self.eos_id]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Where each token of `text` begins and ends in it, in characters."""
        encoded = self.backend(text, add_special_tokens=False, return_offsets_mapping=True)
        return encoded["offset_mapping"]

    def lengths(self, texts: list[str]) -> list[int]:
        """Length of `encode` of every text, all at once: much faster than one by one."""
        return [len(ids) + 2 for ids in self.backend(texts, add_special_tokens=False)["input_ids"]]

    def unknown_share(self, texts: list[str]) -> float:
        """Which share of the texts' tokens stands for letters that the vocabulary lacks."""
        rows = self.backend(texts, add_special_tokens=False)["input_ids"]
        unknown = sum(row.count(self.backend.unk_token_id) for row in rows)
        return unknown / max(1, sum(map(len, rows)))

    def word_starts(self, ids: list[int]) -> list[bool]:
        """Which tokens begin a word: SentencePiece's `▁`, and in a script without spaces all."""
        pieces = self.backend.convert_ids_to_tokens(ids)
        return [
            piece[0] == "▁" or unicodedata.name(piece[0], "").startswith(UNSPACED)
            for piece in pieces
        ]

    def decode(self, ids: list[int]) -> str:
        """Text of a token sequence, without special tokens."""
        return self.backend.decode(ids, skip_special_tokens=True).strip()


def from_sentencepiece(path: str | Path):
    """An `MBart50Tokenizer` with the pieces of a SentencePiece unigram model with default ids."""
    from sentencepiece import SentencePieceProcessor
    from transformers import MBart50Tokenizer

    pieces = SentencePieceProcessor(model_file=str(path))
    # transformers 5 ignores `vocab_file=` silently: only the list of pieces and scores is read.
    vocab = [(pieces.id_to_piece(i), pieces.get_score(i)) for i in range(len(pieces))]
    return MBart50Tokenizer(vocab=vocab, src_lang="en_XX", tgt_lang="en_XX")
