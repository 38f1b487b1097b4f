r"""What values look like: one pattern and, where the standard has one, one check sum for each kind, over whole columns at once.

Patterns are RE2 over Arrow and check sums NumPy over byte matrices. No pattern uses a word boundary: Chinese characters are word
characters too, so ``\b`` would not see a number that touches one. Neighbours are told apart by ASCII classes instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from desensitize.entities import RESIDENT_CHECKS, RESIDENT_WEIGHTS, Entity, canonical_array


if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

_MONTH_DAY = "(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
_YEAR = "(?:18|19|20)[0-9]{2}"
_RESIDENT = f"[1-9][0-9]{{5}}{_YEAR}{_MONTH_DAY}[0-9]{{3}}[0-9X]"
_CREDIT_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范汪廖石金韦"
    "贾夏付方邹熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向汤温康施文牛樊葛邢安齐易乔伍庞颜倪庄聂章鲁岳翟申欧耿关兰焦柳"
    "殷祁尚舒华裴梅童盛辛管阮丛曲朴"
)
_COMPOUND = "欧阳|上官|司马|诸葛|东方|皇甫|尉迟|公孙|慕容|令狐|司徒|宇文|长孙|夏侯"
_PEOPLES = (
    "汉 蒙古 回 藏 维吾尔 苗 彝 壮 布依 朝鲜 满 侗 瑶 白 土家 哈尼 哈萨克 傣 黎 傈僳 佤 畲 高山 拉祜 水 东乡 纳西 景颇 柯尔克孜 土 "
    "达斡尔 仫佬 羌 布朗 撒拉 毛南 仡佬 锡伯 阿昌 普米 塔吉克 怒 乌孜别克 俄罗斯 鄂温克 德昂 保安 "
    "裕固 京 塔塔尔 独龙 鄂伦春 赫哲 门巴 珞巴 基诺"
)

Check = Callable[["pa.Array"], "NDArray[np.bool_]"]


@dataclass(frozen=True)
class Recognizer:
    """One kind of value: a pattern for the whole canonical value, and a check sum where there is one."""

    entity: Entity
    pattern: str
    check: Check | None = None

    def ratio(self, values: pa.Array) -> float:
        """The share of the values, all of them not NULL, that are of this kind; 0 for no values."""
        import pyarrow.compute as pc

        if len(values) == 0:
            return 0.0
        text = pc.fill_null(canonical_array(values, self.entity), "")
        matching = text.filter(pc.match_substring_regex(text, f"^(?:{self.pattern})$"))
        passed = len(matching) if self.check is None else int(self.check(matching).sum())
        return passed / len(values)


def check_resident_ids(values: pa.Array) -> NDArray[np.bool_]:
    """GB 11643-1999, ISO 7064 MOD 11-2, for values of 18 characters; a column of random numbers passes in 1 of 11."""
    import numpy as np

    digits = _matrix(values, 18)
    total = (digits[:, :17] - ord("0")) @ np.array(RESIDENT_WEIGHTS)
    found: NDArray[np.bool_] = np.frombuffer(RESIDENT_CHECKS.encode(), dtype=np.uint8)[total % 11] == digits[:, 17]
    return found


def check_credit_codes(values: pa.Array) -> NDArray[np.bool_]:
    """GB 32100-2015, MOD 31, for values of 18 characters of its alphabet."""
    import numpy as np

    place = np.zeros(256, dtype=np.int64)
    place[np.frombuffer(_CREDIT_ALPHABET.encode(), dtype=np.uint8)] = np.arange(31)
    numbers = place[_matrix(values, 18)]
    weights = np.array([pow(3, i, 31) for i in range(17)])
    found: NDArray[np.bool_] = (31 - (numbers[:, :17] @ weights) % 31) % 31 == numbers[:, 17]
    return found


def check_cards(values: pa.Array) -> NDArray[np.bool_]:
    """ISO/IEC 7812, Luhn, for values of 13 to 19 digits; a column of random numbers passes in 1 of 10."""
    import pyarrow.compute as pc

    digits = _matrix(pc.utf8_lpad(values, 19, "0"), 19) - ord("0")
    doubled = digits[:, 17::-2] * 2
    found: NDArray[np.bool_] = (digits[:, 18::-2].sum(axis=1) + (doubled - 9 * (doubled > 9)).sum(axis=1)) % 10 == 0
    return found


def _matrix(values: pa.Array, width: int) -> Any:
    """Values of one width as an array ``(values, width)`` of character codes."""
    import numpy as np
    import pyarrow as pa

    joined = b"".join(values.cast(pa.binary()).to_pylist())
    return np.frombuffer(joined, dtype=np.uint8).reshape(-1, width).astype(np.int64)


RECOGNIZERS = (
    Recognizer(Entity.RESIDENT_ID, _RESIDENT, check_resident_ids),
    Recognizer(
        Entity.CREDIT_CODE, f"[{_CREDIT_ALPHABET}]{{2}}[0-9]{{6}}[{_CREDIT_ALPHABET}]{{10}}", check_credit_codes
    ),
    Recognizer(Entity.MOBILE, "1[3-9][0-9]{9}"),
    Recognizer(Entity.BANK_CARD, "[1-9][0-9]{14,18}", check_cards),
    Recognizer(Entity.EMAIL, r"[a-z0-9._%+\-]+@[a-z0-9\-]+(?:\.[a-z0-9\-]+)+"),
    Recognizer(Entity.PASSPORT, "[EG][0-9]{8}|E[A-Z][0-9]{7}|[DSP]E?[0-9]{7,8}"),
    Recognizer(
        Entity.PLATE,
        "[京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川贵云藏陕甘青宁新][A-HJ-NP-Z][A-HJ-NP-Z0-9]{4,5}[A-HJ-NP-Z0-9警学挂港澳领使]",
    ),
    Recognizer(
        Entity.IP_ADDRESS, r"(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
    ),
    Recognizer(Entity.LANDLINE, "0[1-9][0-9]{8,10}|[48]00[0-9]{7}"),
    Recognizer(Entity.DIAGNOSIS, r"[A-TV-Z][0-9]{2}(?:\.[0-9X]{1,4})?(?:[+*][0-9A-Z.]*)?"),
    Recognizer(Entity.REGION, "(?:1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[12])[0-9]{4}(?:[0-9]{3}|[0-9]{6})?"),
    Recognizer(
        Entity.BIRTH_DATE,
        rf"{_YEAR}(?:[-/.](?:0?[1-9]|1[0-2])[-/.][0-3]?[0-9]|{_MONTH_DAY}|年(?:0?[1-9]|1[0-2])月(?:[0-3]?[0-9]日)?)",
    ),
    Recognizer(Entity.SEX, "男|女|男性|女性|未知|M|F|MALE|FEMALE"),
    Recognizer(Entity.ETHNICITY, f"(?:{'|'.join(_PEOPLES.split())})族?"),
    Recognizer(
        Entity.EDUCATION,
        "文盲|小学|初中|高中|中专|中职|职高|技校|大专|专科|"
        "本科|大学|大学本科|硕士|研究生|硕士研究生|博士|博士研究生|不详",
    ),
    Recognizer(Entity.MARITAL, "未婚|已婚|离婚|离异|丧偶|初婚|再婚|复婚|不详"),
    Recognizer(
        Entity.COMPANY_NAME, "[^0-9]{2,40}(?:公司|集团|厂|商行|合作社|事务所|经营部|个体户)(?:[（(].{1,12}[)）])?"
    ),
    Recognizer(Entity.ADDRESS, ".*[省市区县旗州].*[路街巷道村镇乡弄号室栋屯].{0,20}[号室栋屯组单元楼层0-9].*"),
    Recognizer(Entity.REGION, "[一-龥]{1,12}(?:省|市|区|县|旗|自治州|盟|街道|镇|乡|林区)"),
    Recognizer(
        Entity.NAME, f"(?:[{_SURNAMES}][一-龥]{{1,2}}|(?:{_COMPOUND})[一-龥]{{1,2}}|[一-龥]{{1,8}}·[一-龥]{{1,8}})"
    ),
)
"""In this order the first of two equally good ones wins: what has a check sum before what has only a shape."""

CHECKED = frozenset(recognizer.entity for recognizer in RECOGNIZERS if recognizer.check is not None)

_SEPARATOR = r"[\s\-]?"
_INSIDE = re.compile(
    f"(?<![0-9])([1-9][0-9]{{5}}{_SEPARATOR}{_YEAR}{_SEPARATOR}{_MONTH_DAY}{_SEPARATOR}[0-9]{{3}}[0-9Xx])(?![0-9])",
    re.ASCII,
)
_MOBILE_INSIDE = "(?:^|[^0-9])1[3-9][0-9]{9}(?:$|[^0-9])"


def holds_resident_id(values: Any) -> bool:
    """Whether any value holds a valid resident ID, alone or inside a text, full-width or split by blanks and hyphens."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (
        pa.types.is_string(values.type) or pa.types.is_large_string(values.type) or pa.types.is_integer(values.type)
    ):
        return False
    text = pc.utf8_normalize(values.cast(pa.string()), "NFKC")
    candidates = text.filter(pc.fill_null(pc.match_substring_regex(text, _INSIDE_RE2), fill_value=False))
    found = [
        re.sub(r"[\s\-]", "", number).upper() for value in candidates.to_pylist() for number in _INSIDE.findall(value)
    ]
    return bool(found) and bool(check_resident_ids(pa.array(found, pa.string())).any())


# RE2 has no look-around: the cheap sieve takes too much, and the pattern above decides over what is left.
_INSIDE_RE2 = f"[1-9][0-9]{{5}}{_SEPARATOR}{_YEAR}{_SEPARATOR}{_MONTH_DAY}{_SEPARATOR}[0-9]{{3}}[0-9Xx]"


def share_holding_identifier(values: pa.Array) -> float:
    """The share of texts in which a valid resident ID or something shaped like a mobile number stands; 0 for no values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if len(values) == 0:
        return 0.0
    text = pc.utf8_normalize(values, "NFKC")
    mobile = pc.match_substring_regex(text, _MOBILE_INSIDE)
    rest = text.filter(pc.invert(mobile))
    numbered = sum(holds_resident_id(pa.array([value])) for value in _shaped(rest).to_pylist())
    return (len(text) - len(rest) + numbered) / len(values)


def _shaped(text: Any) -> Any:
    import pyarrow.compute as pc

    return text.filter(pc.fill_null(pc.match_substring_regex(text, _INSIDE_RE2), fill_value=False))
