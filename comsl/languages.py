"""The languages of CoVoST 2: one table of codes and resource groups (method.md, section 5)."""

from dataclasses import dataclass

from comsl.errors import DataError


@dataclass(frozen=True)
class Language:
    """One language under the names that its three sources give it.

    code: Common Voice; whisper: openai-whisper; mbart: mBART-50's language token;
    group: the paper's resource group (`high`, `mid`, `low`), None for English.
    """

    code: str
    whisper: str
    mbart: str
    group: str | None


_GROUPS = {
    "high": "fr:fr_XX de:de_DE ca:ca_ES es:es_XX",
    "mid": "fa:fa_IR it:it_IT ru:ru_RU pt:pt_XX zh-CN:zh_CN",
    "low": "tr:tr_TR ar:ar_AR et:et_EE mn:mn_MN nl:nl_XX sv-SE:sv_SE lv:lv_LV sl:sl_SI ta:ta_IN "
    "ja:ja_XX id:id_ID cy:cy_GB",
    None: "en:en_XX",
}

LANGUAGES: dict[str, Language] = {
    code: Language(code, code.split("-")[0], mbart, group)
    for group, pairs in _GROUPS.items()
    for code, mbart in (pair.split(":") for pair in pairs.split())
}


def language(code: str) -> Language:
    """The table's row of a Common Voice code; DataError for a code that is not in it."""
    if code not in LANGUAGES:
        raise DataError(f"unknown language code '{code}'; known: {' '.join(sorted(LANGUAGES))}")
    return LANGUAGES[code]
