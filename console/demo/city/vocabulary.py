"""Words of the made-up city: districts, names, streets, callings, illnesses, each with how common it is.

Frequencies are rough shapes (a few surnames cover half the people, rare callings and illnesses exist), not statistics of a place.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class District:
    """A district: its code (GB/T 2260), its name, and its share of the households."""

    code: str
    name: str
    share: float


DISTRICTS = (
    District("220102", "南关区", 0.31),
    District("220103", "宽城区", 0.23),
    District("220104", "朝阳区", 0.17),
    District("220105", "二道区", 0.12),
    District("220106", "绿园区", 0.09),
    District("220112", "双阳区", 0.06),
    District("220113", "九台区", 0.02),
    # The hamlet: a handful of people at any scale, so that small cells are always there to be found.
    District("220122", "农安县", 0.0),
)
HAMLET = len(DISTRICTS) - 1

SURNAMES = (
    *"王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田任姜",
    *"范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文",
    *("欧阳", "上官", "司徒", "诸葛", "慕容"),
)
GIVEN_MALE = tuple("伟强磊军洋勇杰涛明超刚平辉鹏华飞鑫波斌宇浩凯健俊帆志建国文子轩博天佑泽昊然睿铭海东旭宁")
GIVEN_FEMALE = tuple("芳娜敏静秀丽艳娟霞玲燕红英梅莉兰凤洁琳雪婷慧莹颖佳欣怡雨涵梓诗梦思淑桂珍玉晓春蕾薇璐")

STREETS = (
    *("人民大街", "解放大路", "同志街", "平泉路", "和顺街", "春城大街", "卫星路", "前进大街", "亚泰路", "自由大路"),
    *("东盛大街", "吉林大路", "西安大路", "南湖路", "景阳大路", "长沈路", "北环路", "团山街", "飞跃路", "越达路"),
)
ESTATES = (
    *("幸福里", "春光苑", "柳荫小区", "松风花园", "净月湾", "百合小区", "长青苑", "富强新村", "明珠花园", "和平里"),
    *("文华园", "丁香苑", "云杉小区", "金色家园", "阳光城", "银河湾"),
)

ETHNICITIES = (
    *(("汉族", 9000), ("满族", 480), ("朝鲜族", 290), ("回族", 110), ("蒙古族", 70), ("锡伯族", 18)),
    *(("壮族", 12), ("土家族", 8), ("苗族", 6), ("达斡尔族", 3), ("鄂温克族", 2), ("赫哲族", 1)),
)

# Age bands of education, calling and marital state: up to 5, 15, 22, 35, 59 and above.
LIFE_BANDS = (6, 16, 23, 36, 60)
EDUCATION = ("未上学", "小学", "初中", "高中", "大专", "本科", "硕士", "博士")
EDUCATION_BY_BAND = (
    (1, 0, 0, 0, 0, 0, 0, 0),
    (0, 65, 35, 0, 0, 0, 0, 0),
    (0, 1, 12, 47, 20, 20, 0, 0),
    (0, 2, 18, 20, 25, 27, 7, 1),
    (1, 10, 34, 24, 15, 13, 2.5, 0.5),
    (9, 38, 32, 13, 5, 2.7, 0.2, 0.1),
)
MARITAL = ("未婚", "已婚", "离异", "丧偶")
MARITAL_BY_BAND = (
    (1, 0, 0, 0),
    (1, 0, 0, 0),
    (96, 4, 0, 0),
    (38, 57, 5, 0),
    (5, 82, 11, 2),
    (1, 71, 6, 22),
)

# Callings with insured employment come first: their number is EMPLOYED.
CALLINGS = (
    *(
        "企业职员",
        "工人",
        "服务人员",
        "司机",
        "教师",
        "工程师",
        "护士",
        "公务员",
        "医生",
        "记者",
        "律师",
        "飞行员",
        "考古人员",
    ),
    *("农业生产者", "个体经营者", "无业", "学生", "离退休人员", "学龄前儿童"),
)
EMPLOYED = 13
CALLINGS_BY_BAND = (
    (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
    (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0),
    (6, 6, 8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 1, 4, 70, 0, 0),
    (24, 14, 13, 6, 5, 6, 3, 4, 2, 0.4, 0.4, 0.05, 0.02, 8, 10, 4, 0.2, 0, 0),
    (19, 17, 11, 7, 5, 4, 2, 4, 2, 0.3, 0.3, 0.05, 0.02, 15, 10, 4, 0, 0, 0),
    (1, 1, 1, 0.5, 0.3, 0.2, 0.1, 0.1, 0.3, 0, 0, 0, 0, 16, 2, 2, 0, 76, 0),
)

INDUSTRIES = (
    *(("批发零售", 30), ("制造业", 18), ("信息技术", 11), ("建筑业", 9), ("住宿餐饮", 9), ("交通运输", 7), ("教育", 5)),
    *(("卫生", 4), ("金融业", 3), ("农林牧渔", 3), ("文化体育", 0.8), ("采矿业", 0.2)),
)
# Two of the characters are in GB 18030 only, not in GBK: a reader that takes the older set cannot read the file.
COMPANY_WORDS = (*"鑫盛华宏泰隆兴达源丰恒瑞康泽嘉润博远信诚", "䶮", "𬭎")
COMPANY_KINDS = ("商贸", "科技", "实业", "建设", "物流", "餐饮", "文化", "食品", "机械", "医药")

CLINIC_KINDS = ("人民医院", "社区卫生服务中心", "中医院", "第二医院", "妇幼保健院")
CITY_CLINICS = ("市中心医院", "市第一医院", "医学院附属医院", "康宁专科医院")

# Age bands of illness: up to 14, 34, 54, 74 and above.
ILLNESS_BANDS = (15, 35, 55, 75)


@dataclass(frozen=True)
class Illness:
    """A diagnosis (ICD-10), its department, how common it is in each age band, its severity (0–3) and usual cost in yuan.

    ``sex`` is 男, 女, or empty for both.
    """

    code: str
    department: str
    weights: tuple[float, float, float, float, float]
    severity: int
    cost: int
    sex: str = ""


ILLNESSES = (
    Illness("J06.9", "呼吸内科", (90, 45, 30, 25, 20), 0, 120),
    Illness("J20.9", "呼吸内科", (40, 12, 14, 20, 22), 0, 180),
    Illness("J18.9", "呼吸内科", (16, 4, 6, 16, 34), 2, 900),
    Illness("J45.9", "呼吸内科", (9, 5, 5, 7, 7), 1, 260),
    Illness("J44.9", "呼吸内科", (0, 0.5, 6, 26, 42), 2, 780),
    Illness("I10", "心血管内科", (0, 6, 46, 95, 90), 0, 150),
    Illness("I25.1", "心血管内科", (0, 0.5, 12, 46, 66), 2, 1300),
    Illness("I50.9", "心血管内科", (0, 0.2, 3, 17, 42), 3, 1800),
    Illness("I48.9", "心血管内科", (0, 0.3, 3, 12, 22), 2, 950),
    Illness("I63.9", "神经内科", (0, 0.4, 9, 38, 52), 3, 2100),
    Illness("G43.9", "神经内科", (2, 12, 12, 5, 2), 0, 160),
    Illness("G40.9", "神经内科", (3, 2, 2, 2, 2), 2, 420),
    Illness("G20", "神经内科", (0, 0, 1, 8, 15), 2, 460),
    Illness("E11.9", "内分泌科", (0.2, 4, 30, 62, 55), 1, 240),
    Illness("E10.9", "内分泌科", (1.5, 1, 0.7, 0.5, 0.2), 2, 380),
    Illness("E03.9", "内分泌科", (0.3, 5, 9, 8, 6), 0, 140),
    Illness("E78.5", "内分泌科", (0, 4, 22, 28, 16), 0, 150),
    Illness("K29.7", "消化内科", (4, 24, 28, 22, 16), 0, 190),
    Illness("K35.8", "普通外科", (5, 8, 5, 3, 2), 2, 2600),
    Illness("K80.2", "普通外科", (0, 5, 12, 13, 9), 1, 1700),
    Illness("K74.6", "消化内科", (0, 0.5, 4, 6, 4), 3, 1500),
    Illness("A09.9", "消化内科", (22, 14, 9, 7, 6), 0, 160),
    Illness("N39.0", "肾内科", (2, 9, 9, 11, 13), 0, 170),
    Illness("N18.9", "肾内科", (0.2, 1, 5, 11, 14), 3, 1600),
    Illness("N20.0", "泌尿外科", (0.3, 7, 10, 7, 3), 1, 900),
    Illness("N40", "泌尿外科", (0, 0, 6, 34, 42), 1, 320, "男"),
    Illness("O80.9", "产科", (0, 34, 5, 0, 0), 1, 3200, "女"),
    Illness("N76.0", "妇科", (1, 26, 20, 6, 2), 0, 170, "女"),
    Illness("D25.9", "妇科", (0, 8, 20, 4, 0.5), 1, 1500, "女"),
    Illness("C50.9", "肿瘤科", (0, 0.7, 6, 7, 4), 3, 3600, "女"),
    Illness("C34.9", "肿瘤科", (0, 0.2, 4, 14, 13), 3, 4100),
    Illness("C16.9", "肿瘤科", (0, 0.2, 3, 9, 8), 3, 3800),
    Illness("M54.5", "骨科", (0.5, 15, 28, 27, 20), 0, 210),
    Illness("S52.5", "骨科", (7, 4, 5, 8, 9), 1, 1500),
    Illness("S72.0", "骨科", (0.2, 0.4, 1, 6, 20), 3, 6200),
    Illness("M17.9", "骨科", (0, 0.6, 11, 32, 30), 1, 420),
    Illness("H25.9", "眼科", (0, 0, 3, 24, 30), 0, 2300),
    Illness("H52.1", "眼科", (20, 10, 2, 1, 0), 0, 130),
    Illness("K02.9", "口腔科", (26, 24, 22, 17, 10), 0, 260),
    Illness("L20.9", "皮肤科", (16, 9, 6, 5, 4), 0, 130),
    Illness("F32.9", "精神科", (0.7, 9, 8, 5, 4), 1, 260),
    Illness("F20.9", "精神科", (0, 2, 2, 1, 0.5), 2, 620),
    Illness("B24", "感染科", (0, 0.8, 0.6, 0.2, 0), 2, 540),
    Illness("A15.0", "感染科", (0.3, 1.6, 1.4, 2, 2), 2, 680),
)
# Rare illnesses are given to people, not drawn for visits: who has one comes back with it.
RARE_ILLNESSES = (
    Illness("G12.2", "神经内科", (1, 1, 1, 1, 1), 3, 2400),
    Illness("G10", "神经内科", (1, 1, 1, 1, 1), 3, 1800),
    Illness("E75.2", "内分泌科", (1, 1, 1, 1, 1), 2, 8600),
    Illness("E84.9", "呼吸内科", (1, 1, 1, 1, 1), 3, 3100),
    Illness("D66", "血液科", (1, 1, 1, 1, 1), 2, 5200),
    Illness("E70.0", "儿科", (1, 1, 1, 1, 1), 1, 1400),
)
