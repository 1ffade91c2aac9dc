"""Languages: one table of codes, and the resource groups of CoVoST 2's.

Beside CoVoST 2's it holds all that both Whisper and mBART-50 know, for corpora of one's own.
A further family of translation models is one more entry of `Language.tokens`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from comsl.errors import DataError


@dataclass(frozen=True)
class Language:
    """One language under the names that its sources give it.

    code: Common Voice's, ISO 639's where it has none; whisper: openai-whisper, which is also what
    sacreBLEU calls it; mbart, nllb: language tokens of mBART-50 and of NLLB-200; group: the paper's
    resource group (`high`, `mid`, `low`), None for a language that CoVoST 2 doesn't translate into
    English.
    """

    code: str
    whisper: str
    mbart: str
    nllb: str
    group: str | None

    @property
    def tokens(self) -> dict[str, str]:
        """Family of translation models -> its token for the language."""
        return {"mbart": self.mbart, "m2m_100": f"__{self.whisper}__", "nllb": self.nllb}

    @property
    def name(self) -> str:
        """In English, such as `French`."""
        from whisper.tokenizer import LANGUAGES

        return LANGUAGES[self.whisper].title()

    @property
    def spaced(self) -> bool:
        """Whether it puts spaces between words."""
        return self.whisper not in ("zh", "ja", "th", "km", "my")


# Code, mBART-50's token, NLLB-200's.
_GROUPS = {
    "high": "fr:fr_XX:fra_Latn de:de_DE:deu_Latn ca:ca_ES:cat_Latn es:es_XX:spa_Latn",
    "mid": "fa:fa_IR:pes_Arab it:it_IT:ita_Latn ru:ru_RU:rus_Cyrl pt:pt_XX:por_Latn "
    "zh-CN:zh_CN:zho_Hans",
    "low": "tr:tr_TR:tur_Latn ar:ar_AR:arb_Arab et:et_EE:est_Latn mn:mn_MN:khk_Cyrl "
    "nl:nl_XX:nld_Latn sv-SE:sv_SE:swe_Latn lv:lv_LV:lvs_Latn sl:sl_SI:slv_Latn "
    "ta:ta_IN:tam_Taml ja:ja_XX:jpn_Jpan id:id_ID:ind_Latn cy:cy_GB:cym_Latn",
    None: "en:en_XX:eng_Latn af:af_ZA:afr_Latn az:az_AZ:azj_Latn bn:bn_IN:ben_Beng "
    "cs:cs_CZ:ces_Latn fi:fi_FI:fin_Latn gl:gl_ES:glg_Latn gu-IN:gu_IN:guj_Gujr "
    "he:he_IL:heb_Hebr hi:hi_IN:hin_Deva hr:hr_HR:hrv_Latn ka:ka_GE:kat_Geor kk:kk_KZ:kaz_Cyrl "
    "km:km_KH:khm_Khmr ko:ko_KR:kor_Hang lt:lt_LT:lit_Latn mk:mk_MK:mkd_Cyrl ml:ml_IN:mal_Mlym "
    "mr:mr_IN:mar_Deva my:my_MM:mya_Mymr ne-NP:ne_NP:npi_Deva pl:pl_PL:pol_Latn "
    "ps:ps_AF:pbt_Arab ro:ro_RO:ron_Latn si:si_LK:sin_Sinh sw:sw_KE:swh_Latn te:te_IN:tel_Telu "
    "th:th_TH:tha_Thai tl:tl_XX:tgl_Latn uk:uk_UA:ukr_Cyrl ur:ur_PK:urd_Arab vi:vi_VN:vie_Latn",
}

LANGUAGES: dict[str, Language] = {
    code: Language(code, code.split("-")[0], mbart, nllb, group)
    for group, rows in _GROUPS.items()
    for code, mbart, nllb in (row.split(":") for row in rows.split())
}


def language(code: str) -> Language:
    """The table's row of a Common Voice code; DataError for a code that is not in it."""
    if code not in LANGUAGES:
        raise DataError(f"unknown language code '{code}'; known: {' '.join(sorted(LANGUAGES))}")
    return LANGUAGES[code]


def check_language(code: str, known: Sequence[str]) -> None:
    """DataError: it isn't one of the languages that a model knows."""
    if language(code).code not in known:
        raise DataError(f"language '{code}' isn't one of the model's: {' '.join(known)}")


# FLEURS' names of the table's languages.
_FLEURS = (
    "af_za ar_eg az_az bn_in ca_es cmn_hans_cn cs_cz cy_gb de_de en_us es_419 et_ee fa_ir fi_fi "
    "fil_ph fr_fr gl_es gu_in he_il hi_in hr_hr id_id it_it ja_jp ka_ge kk_kz km_kh ko_kr lt_lt "
    "lv_lv mk_mk ml_in mn_mn mr_in my_mm ne_np nl_nl pl_pl ps_af pt_br ro_ro ru_ru sl_si sv_se "
    "sw_ke ta_in te_in th_th tr_tr uk_ua ur_pk vi_vn"
)
_OURS = {"cmn": "zh", "fil": "tl"}
FLEURS = {
    code: name
    for name in _FLEURS.split()
    for code in LANGUAGES
    if code.split("-")[0] == _OURS.get(name.split("_")[0], name.split("_")[0])
}


def plain_codes(names: str) -> str:
    """Languages by Common Voice's codes, of which FLEURS' names may stand in place: "fr_fr it" is
    "fr it". What is neither stays."""
    codes = {name: code for code, name in FLEURS.items()}
    return " ".join(codes.get(name, name) for name in names.split())
