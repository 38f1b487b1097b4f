"""Column names: plain identifiers only, and what to call a column whose source name is none."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from lineage.errors import DataFileError, DefinitionError
from sandbox.ingest.source import Source


_PLAIN = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_DATA_LIKE = re.compile(r"[+-]?[0-9][0-9.,:/\-年月日 ]*[0-9Xx]?|.*[0-9]{6}.*|.*@.*")

KNOWN: Mapping[str, str] = {
    "姓名": "name",
    "身份证号": "resident_id",
    "身份证号码": "resident_id",
    "公民身份号码": "resident_id",
    "性别": "sex",
    "年龄": "age",
    "出生日期": "birth_date",
    "民族": "ethnic_group",
    "婚姻状况": "marital_status",
    "学历": "education",
    "文化程度": "education",
    "职业": "occupation",
    "手机号": "mobile",
    "手机号码": "mobile",
    "联系电话": "phone",
    "电子邮箱": "email",
    "住址": "address",
    "地址": "address",
    "户籍地址": "registered_address",
    "行政区划": "division",
    "行政区划代码": "division_code",
    "所属区县": "district",
    "统一社会信用代码": "credit_code",
    "企业名称": "company_name",
    "单位名称": "organization_name",
    "法定代表人": "legal_representative",
    "登记日期": "registration_date",
    "成立日期": "founding_date",
    "金额": "amount",
    "备注": "remark",
}
"""Headers that public data often has, and a plain name for each; a suggestion, nothing is renamed unless declared."""


def is_plain(name: str) -> bool:
    """Tell whether a name can stand unquoted in every query: ``[a-z_][a-z0-9_]*``, at most 63 characters."""
    return bool(_PLAIN.fullmatch(name))


def suggest(name: str, position: int) -> str:
    """Suggest a plain name for the column at ``position`` (from 1)."""
    known = KNOWN.get(name.strip())
    if known:
        return known
    ascii_only = unicodedata.normalize("NFKD", name).lower()
    slug = re.sub(r"[^a-z0-9]+", "_", ascii_only).strip("_")
    if not slug or not re.search("[a-z]", slug) or not name.isascii():
        return f"column_{position}"
    return (slug if slug[0].isalpha() else f"_{slug}")[:63]


def suggest_renames(found: Sequence[str]) -> Mapping[str, str]:
    """Suggest a plain and distinct name for each source name that has none."""
    taken = {name for name in found if is_plain(name)}
    renames: dict[str, str] = {}
    for position, name in enumerate(found, start=1):
        if not is_plain(name):
            wanted = suggest(name, position)
            renames[name] = wanted if wanted not in taken else f"column_{position}"
            taken.add(renames[name])
    return renames


def plain_names(found: Sequence[str], renames: Mapping[str, str], source: Source) -> tuple[str, ...]:
    """Give each source column its name in the table.

    Raises:
        DataFileError: a name is not plain and no rename is declared for it; or the first line looks like data, which is then
            not repeated in a message.
        DefinitionError: a rename is declared for a column that is not there.
    """
    if surplus := sorted(set(renames).difference(found)):
        raise DefinitionError("import.rename-unknown", name=surplus[0])
    odd = [name for name in found if name not in renames and not is_plain(name)]
    if not odd:
        return tuple(renames.get(name, name) for name in found)
    if any(_DATA_LIKE.fullmatch(name) for name in odd):
        raise DataFileError("import.header-is-data", file=source.shown)
    suggested = suggest_renames(found)
    shown = ", ".join(f"{name[:30]} → {suggested[name]}" for name in odd[:10])
    raise DataFileError("import.names-not-plain", file=source.shown, count=len(odd), renames=shown)
