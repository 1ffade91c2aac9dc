"""BLEU of a target language."""

from comsl.languages import language

NO_MECAB = (
    "MeCab is not installed, so BLEU is of characters, not of words, and can't be compared with"
    ' published BLEU: pip install "sacrebleu[ja,ko]"'
)


def bleu_metric(target_lang: str):
    """BLEU with sacreBLEU's defaults: mixed case, exponential smoothing, and the tokeniser that it
    has for the language: 13a, Chinese `zh`, Japanese and Korean MeCab.

    Characters where MeCab is not installed, which is said, and for the other languages without
    spaces, of which 13a would take whole sentences for words.
    """
    from sacrebleu.metrics import BLEU

    if lacks_mecab(target_lang):
        return BLEU(tokenize="char")
    target = language(target_lang)
    metric = BLEU(trg_lang=target.whisper)
    if metric.tokenizer_signature == "13a" and not target.spaced:
        return BLEU(tokenize="char")
    return metric


def lacks_mecab(target_lang: str) -> bool:
    """Whether sacreBLEU would take the language's words from MeCab, but can't."""
    from sacrebleu.metrics import BLEU

    try:
        BLEU(trg_lang=language(target_lang).whisper)
    except RuntimeError:
        return True
    return False
