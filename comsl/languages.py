"""Languages: one table of codes, and the resource groups of CoVoST 2's (method.md, section 5).

Beside CoVoST 2's it holds all that both Whisper and mBART-50 know, for corpora of one's own.
"""

from dataclasses import dataclass

from comsl.errors import DataError


@dataclass(frozen=True)
class Language:
    """One language under the names that its three sources give it.

    code: Common Voice's, ISO 639's where it has none; whisper: openai-whisper, which is also what
    sacreBLEU calls it; mbart: mBART-50's language token; group: the paper's resource group (`high`,
    `mid`, `low`), None for a language that CoVoST 2 doesn't translate into English.
    """

    code: str
    whisper: str
    mbart: str
    group: str | None

    @property
    def spaced(self) -> bool:
        """Whether it puts spaces between words."""
        return self.whisper not in ("zh", "ja", "th", "km", "my")


_GROUPS = {
    "high": "fr:fr_XX de:de_DE ca:ca_ES es:es_XX",
    "mid": "fa:fa_IR it:it_IT ru:ru_RU pt:pt_XX zh-CN:zh_CN",
    "low": "tr:tr_TR ar:ar_AR et:et_EE mn:mn_MN nl:nl_XX sv-SE:sv_SE lv:lv_LV sl:sl_SI ta:ta_IN "
    "ja:ja_XX id:id_ID cy:cy_GB",
    None: "en:en_XX af:af_ZA az:az_AZ bn:bn_IN cs:cs_CZ fi:fi_FI gl:gl_ES gu-IN:gu_IN he:he_IL "
    "hi:hi_IN hr:hr_HR ka:ka_GE kk:kk_KZ km:km_KH ko:ko_KR lt:lt_LT mk:mk_MK ml:ml_IN mr:mr_IN "
    "my:my_MM ne-NP:ne_NP pl:pl_PL ps:ps_AF ro:ro_RO si:si_LK sw:sw_KE te:te_IN th:th_TH tl:tl_XX "
    "uk:uk_UA ur:ur_PK vi:vi_VN",
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
