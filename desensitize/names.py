"""What a column's name or comment says it holds: a dictionary of Chinese, English, pinyin and initials.

Names are the cheaper half of the evidence and the only one for values without a shape, such as hospital numbers.
"""

from __future__ import annotations

import re
from functools import cache
from types import MappingProxyType

from desensitize.entities import Entity


_CHINESE = {
    Entity.RESIDENT_ID: "身份证 公民身份 身份号码 居民身份 证件号码 证件号",
    Entity.CREDIT_CODE: "统一社会信用代码 社会信用代码 信用代码",
    Entity.MOBILE: "手机 移动电话 联系电话 联系方式",
    Entity.LANDLINE: "固定电话 座机 电话",
    Entity.BANK_CARD: "银行卡 银行账号 银行账户 卡号 账号",
    Entity.PASSPORT: "护照",
    Entity.PLATE: "车牌 号牌号码",
    Entity.EMAIL: "邮箱 电子邮件",
    Entity.IP_ADDRESS: "IP地址",
    Entity.NAME: "姓名 名字 联系人 法定代表人 法人代表 户主",
    Entity.COMPANY_NAME: "企业名称 单位名称 公司名称 机构名称",
    Entity.LOCAL_NUMBER: "病历号 住院号 门诊号 学号 工号 案号 社保号 社保卡 医保号 医保卡 户号 病案号 患者编号",
    Entity.ADDRESS: "地址 住址 住所 门牌",
    Entity.COORDINATE: "经度 纬度 坐标",
    Entity.REGION: "行政区划 区划代码 区划 区县 县区 地区 城市 省份 辖区 街道 乡镇",
    Entity.POSTCODE: "邮编 邮政编码",
    Entity.BIRTH_DATE: "出生日期 出生年月 出生年 生日",
    Entity.AGE: "年龄",
    Entity.SEX: "性别",
    Entity.ETHNICITY: "民族",
    Entity.EDUCATION: "学历 文化程度 教育程度",
    Entity.OCCUPATION: "职业 岗位 职务",
    Entity.MARITAL: "婚姻",
    Entity.RELIGION: "宗教 信仰",
    Entity.DIAGNOSIS: "诊断 疾病 病种 病名",
    Entity.INCOME: "收入 工资 薪酬 薪资 月薪 年薪",
    Entity.REMARK: "备注 说明 描述 主诉 病情 意见 正文 诉求内容",
}

_LATIN = {
    Entity.RESIDENT_ID: "resident_id id_card idcard id_card_no id_number id_no idno citizen_id identity_no identity_number "
    "cert_no sfz sfzh sfzhm gmsfhm gmsfzh zjhm shenfenzheng shenfenzhenghao",
    Entity.CREDIT_CODE: "credit_code uscc social_credit_code unified_social_credit_code tyshxydm shxydm xydm",
    Entity.MOBILE: "mobile mobile_phone mobile_no phone phone_number phone_no cellphone cell_phone sj sjh sjhm lxdh shouji shoujihao",
    Entity.LANDLINE: "tel telephone landline dh dianhua gddh",
    Entity.BANK_CARD: "bank_card bank_card_no card_no card_number bank_account account_no yhk yhkh yhzh yinhangka",
    Entity.PASSPORT: "passport passport_no hzhm huzhao",
    Entity.PLATE: "plate plate_no plate_number licence_plate license_plate cph cphm hphm chepai chepaihao",
    Entity.EMAIL: "email e_mail mail email_address dzyx dzyj youxiang",
    Entity.IP_ADDRESS: "ip ip_address ip_addr ipdz",
    Entity.NAME: "full_name person_name patient_name resident_name contact_name owner_name customer_name student_name "
    "employee_name legal_person contact xm xingming lxr frdb fddbr",
    Entity.COMPANY_NAME: "company_name enterprise_name firm_name org_name qymc dwmc gsmc jgmc",
    Entity.LOCAL_NUMBER: "patient_id patient_no student_id student_no employee_id employee_no person_id person_no user_id "
    "customer_id case_no medical_record_no mrn xuehao gonghao blh zyh mzh bah ybh ybkh sbh sbkh",
    Entity.ADDRESS: "address addr home_address street_address dz dizhi zz zhuzhi jtzz txdz jtdz",
    Entity.COORDINATE: "longitude latitude lng lon lat jd wd jingdu weidu",
    Entity.REGION: "district district_code county county_code city city_code province province_code region region_code "
    "area_code adcode division_code xzqh xzqhdm qh qhdm qx qxdm csdm sfdm town street",
    Entity.POSTCODE: "postcode post_code zip zip_code postal_code yb yzbm youbian",
    Entity.BIRTH_DATE: "birth_date birthdate birthday birth dob date_of_birth birth_year birth_month csrq csny csnf shengri chushengriqi",
    Entity.AGE: "age nl nianling",
    Entity.SEX: "sex gender xb xingbie",
    Entity.ETHNICITY: "ethnicity ethnic ethnic_group nation race mz minzu",
    Entity.EDUCATION: "education edu education_level xl whcd xueli",
    Entity.OCCUPATION: "occupation profession job_title zy zhiye",
    Entity.MARITAL: "marital marital_status marriage hyzk hunyin",
    Entity.RELIGION: "religion faith zj zongjiao",
    Entity.DIAGNOSIS: "diagnosis diagnosis_code icd icd10 icd_code disease disease_code zd zdbm jbbm jbdm zhenduan",
    Entity.INCOME: "income salary wage wages pay sr gz shouru gongzi",
    Entity.REMARK: "remark remarks note notes comment comments description memo content complaint bz beizhu sm zs",
}

_WORD_BREAK = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
_LONGEST_PHRASE = 4


def entity_of_name(name: str, comment: str = "") -> Entity | None:
    """Find what a column's name or comment says; None when it says nothing. The name counts before the comment."""
    return _of_text(name) or _of_text(comment)


def _of_text(text: str) -> Entity | None:
    chinese, latin = _dictionary()
    # The last term decides, since the head of a Chinese noun comes last: 法定代表人证件号码 is a number, 身份证备注 a remark.
    found = max(
        (term for term in chinese if term in text),
        key=lambda term: (text.rfind(term) + len(term), len(term)),
        default=None,
    )
    return chinese[found] if found else _of_words([word.lower() for word in _WORD_BREAK.split(text) if word], latin)


def _of_words(words: list[str], latin: dict[str, Entity]) -> Entity | None:
    if words == ["name"]:
        # Alone it is a person's name; in clinic_name it is not.
        return Entity.NAME
    for length in range(min(_LONGEST_PHRASE, len(words)), 0, -1):
        for start in range(len(words) - length, -1, -1):
            found = latin.get("_".join(words[start : start + length]))
            if found and (length > 1 or len(words) == 1 or len(words[start]) > 2):
                return found
    return None


@cache
def _dictionary() -> tuple[MappingProxyType[str, Entity], dict[str, Entity]]:
    chinese = {term: entity for entity, terms in _CHINESE.items() for term in terms.split()}
    latin = {term: entity for entity, terms in _LATIN.items() for term in terms.split()}
    return MappingProxyType(chinese), latin
