"""Text to and from the language model's token sequences, `[code, tokens, </s>]`, which follow
mBART-50 (docs/how-it-works.md)."""

import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from comsl.errors import DataError
from comsl.hub import check_model
from comsl.languages import LANGUAGES, language
from comsl.vocabulary import cover, pieces_of_texts

# How Unicode's names begin for the letters of scripts that put no space between words.
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")


VOCABULARIES = ("tokenizer.json", "*.model", "*.spm")  # of which a folder needs one


class Tokenizer:
    """A translation model's tokenizer, by Common Voice language codes.

    path: Hugging Face hub id or folder. Raises DataError where none can be loaded from it, or it is
    a Marian's that translates into several languages.
    """

    def __init__(self, path: str | Path):
        from transformers import AutoTokenizer

        check_model(path)
        try:
            self.backend = AutoTokenizer.from_pretrained(str(path), split_special_tokens=True)
        except (OSError, ValueError, KeyError, TypeError) as error:
            files = [file for name in VOCABULARIES for file in Path(path).glob(name)]
            reason = error if files or not Path(path).is_dir() else "it has no tokenizer.json"
            raise DataError(f"no tokenizer could be loaded from '{path}': {reason}") from None
        self._two_sides = hasattr(self.backend, "spm_target")  # Marian's
        if self.backend.is_fast:
            pieces = self.backend.backend_tokenizer
            pieces.model = pieces_of_texts(pieces)
        elif not self._two_sides:  # M2M-100's, whose languages are not counted
            self.backend.add_tokens(list(self.backend.lang_token_to_id), special_tokens=True)
        elif not any(map(self._is_target, LANGUAGES)):
            target = self.backend.target_lang
            raise DataError(f"'{path}': a Marian must translate into one language, not '{target}'")
        self.path = path
        self.pad_id = self.backend.pad_token_id
        self.eos_id = self.backend.eos_token_id
        self._know_vocabulary()

    def _know_vocabulary(self) -> None:
        self._vocabulary = vocabulary = self.backend.get_vocab()
        english = language("en").tokens
        families = (family for family, token in english.items() if token in vocabulary)
        self._family = next(families, "mbart")
        self.mask_id = self.backend.mask_token_id
        self._wide = {vocabulary.get(self._token(lang)) for lang in ("zh-CN", "ja")}

    def _token(self, lang: str) -> str:
        return language(lang).tokens[self._family]

    def _is_target(self, lang: str) -> bool:
        row = language(lang)
        return self.backend.target_lang in (row.whisper, row.nllb[:3])  # ISO 639-1 or 639-3

    def _sentencepiece(self, lang: str):
        """SentencePiece's own model of a language's texts, which finds no control token in them."""
        if not self._two_sides:
            return self.backend.sp_model
        return self.backend.spm_target if self._is_target(lang) else self.backend.spm_source

    def __len__(self) -> int:
        return len(self.backend)

    def add_missing(self, langs: list[str]) -> list[str]:
        """Give each of these languages that has no token one, behind all others, and so with
        `<mask>`; which they are.

        mBART-50 has none for Catalan and Welsh (docs/how-it-works.md), M2M-100 no mask.
        """
        tokens = [self._token(lang) for lang in langs]
        missing = [token for token in dict.fromkeys(tokens) if token not in self._vocabulary]
        self.backend.add_tokens(missing, special_tokens=True)
        if self.mask_id is None:
            missing.append("<mask>")
            self.backend.add_special_tokens({"mask_token": "<mask>"})
        self._know_vocabulary()
        return missing

    def code(self, lang: str) -> int:
        """Token id of a language; DataError where the tokenizer lacks its code."""
        token = self._token(lang)
        # The backend would silently answer <unk> for a code that it does not have.
        if token not in self._vocabulary:
            raise DataError(f"the tokenizer of '{self.path}' has no token {token} for '{lang}'")
        return self._vocabulary[token]

    def languages(self) -> list[str]:
        """Those that it has a code for."""
        return [lang for lang in LANGUAGES if self._token(lang) in self._vocabulary]

    def encode(self, text: str, lang: str) -> list[int]:
        """`[code, tokens of text, </s>]`."""
        (ids,) = self.pieces([text], [lang])
        return [self.code(lang), *ids, self.eos_id]

    def pieces(self, texts: Sequence[str], langs: Sequence[str]) -> list[list[int]]:
        """Token ids of every text alone, all at once: much faster than one by one."""
        if self.backend.is_fast and texts:  # which fails on none
            return self.backend(list(texts), add_special_tokens=False)["input_ids"]
        return [
            self.backend.convert_tokens_to_ids(self._sentencepiece(lang).encode(text, out_type=str))
            for text, lang in zip(texts, langs, strict=True)
        ]

    def offsets(self, text: str, lang: str) -> list[tuple[int, int]]:
        """Where each token of `text` begins and ends in it, in characters."""
        if not self.backend.is_fast:
            proto = self._sentencepiece(lang).encode(text, out_type="immutable_proto")
            return [(piece.begin, piece.end) for piece in proto.pieces]
        encoded = self.backend(text, add_special_tokens=False, return_offsets_mapping=True)
        return encoded["offset_mapping"]

    def lengths(self, texts: Sequence[str], langs: Sequence[str]) -> list[int]:
        """Length of `encode` of every text."""
        return [len(ids) + 2 for ids in self.pieces(texts, langs)]

    def unknown_share(self, texts: Iterable[tuple[str, str]]) -> float:
        """Which share of the tokens stands for letters that the vocabulary lacks; texts: each with
        its language."""
        unknown = total = 0
        for batch in itertools.batched(texts, 1000):
            for row in self.pieces(*zip(*batch, strict=True)):
                unknown += row.count(self.backend.unk_token_id)
                total += len(row)
        return unknown / max(1, total)

    def word_starts(self, ids: list[int]) -> list[bool]:
        """Which tokens begin a word: SentencePiece's `▁`, and in a script without spaces all."""
        pieces = self.backend.convert_ids_to_tokens(ids)
        return [
            piece[0] == "▁" or unicodedata.name(piece[0], "").startswith(UNSPACED)
            for piece in pieces
        ]

    def decode(self, ids: list[int]) -> str:
        """Text of a token sequence, without special tokens, as its language code's language writes
        it."""
        text = self.backend.decode(ids, skip_special_tokens=True).strip()
        return widen(text) if self._wide.intersection(ids[:2]) else text  # </s> may come first


def widen(text: str) -> str:
    """Punctuation beside Chinese and Japanese characters as these write it, full-width: mBART-50's
    NFKC has made it half-width."""
    text = _ELLIPSES.sub(lambda dots: "…" * (len(dots[0]) // 3), text)
    return _NARROW.sub(lambda marks: marks[0].translate(_WIDE), text)


# Kana, ideographs, and the punctuation that Unicode has in one width only.
_EAST = "[\u3001-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uff01-\uff60…]"
_ELLIPSES = re.compile(rf"(?<={_EAST})(?:\.{{3}})+|(?:\.{{3}})+(?={_EAST})")
_NARROW = re.compile(rf"(?<={_EAST})[!?,:;()]+|[!?,:;()]+(?={_EAST})")
_WIDE = {ord(mark): ord(mark) + 0xFEE0 for mark in "!?,:;()"}


def from_sentencepiece(path: str | Path):
    """mBART-50's tokenizer with the pieces of a SentencePiece unigram model with default ids, and
    those of all characters that it lacks."""
    from sentencepiece import SentencePieceProcessor
    from transformers import MBart50Tokenizer

    pieces = SentencePieceProcessor(model_file=str(path))
    # transformers 5 ignores `vocab_file=` silently: only the list of pieces and scores is read.
    vocab = [(pieces.id_to_piece(i), pieces.get_score(i)) for i in range(len(pieces))]
    return cover(MBart50Tokenizer(vocab=vocab, src_lang="en_XX", tgt_lang="en_XX"))[0]
