"""BLEU of a target language."""

from comsl.languages import language


def bleu_metric(target_lang: str):
    """BLEU with sacreBLEU's defaults: mixed case, exponential smoothing, and the tokeniser that it
    has for the language: 13a, Chinese `zh`, Japanese and Korean MeCab.

    Characters where MeCab is not installed (`pip install "sacrebleu[ja,ko]"`), and for the other
    languages without spaces, of which 13a would take whole sentences for words.
    """
    from sacrebleu.metrics import BLEU

    target = language(target_lang)
    try:
        metric = BLEU(trg_lang=target.whisper)
    except RuntimeError:  # no MeCab
        return BLEU(tokenize="char")
    if metric.tokenizer_signature == "13a" and not target.spaced:
        return BLEU(tokenize="char")
    return metric
