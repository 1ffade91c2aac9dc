"""Text to and from Whisper's token sequences, laid out as mBART's: `[<|code|>, tokens, end]`."""

from whisper.tokenizer import get_tokenizer

from comsl.languages import language


class WhisperTokenizer:
    """Tokenizer of Whisper's multilingual models, by Common Voice language codes.

    What it uses is the same in all of them. Ids behind the languages' are not, since large-v3 knows
    one language more: the tokens that name a task are the model's affair.
    """

    def __init__(self):
        self.backend = get_tokenizer(multilingual=True)
        self.eos_id = self.backend.eot

    def encode(self, text: str, lang: str) -> list[int]:
        """`[<|code|>, tokens of text, <|endoftext|>]`; as in Whisper's own transcripts, words begin
        with their space, the first one too. An empty text has no token. DataError: unknown
        language."""
        row = language(lang)
        space = " " if row.spaced and text.strip() else ""
        # Ordinary: text that spells a special token isn't one.
        ids = self.backend.encoding.encode_ordinary(space + text.strip())
        return [self.backend.to_language_token(row.whisper), *ids, self.eos_id]

    def decode(self, ids: list[int]) -> str:
        """Text of a token sequence, without special tokens: they have the ids from the end's on."""
        return self.backend.decode([token for token in ids if token < self.eos_id]).strip()
