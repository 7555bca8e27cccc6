"""Names, places and words for invented people. Small lists, many scripts; no name here is of a real person on purpose."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Tongue:
    """How people of one language are called. `family_first` is how the two names are joined, with `joint` between."""

    weight: int
    given: tuple[str, ...]
    family: tuple[str, ...]
    latin: tuple[str, ...]
    """Given names as they stand in email addresses."""
    countries: tuple[str, ...]
    dialling: str
    family_first: bool = False
    joint: str = " "

    def full(self, given: str, family: str) -> str:
        parts = (family, given) if self.family_first else (given, family)
        return self.joint.join(parts)


TONGUES = (
    Tongue(
        weight=30,
        given=("Ada", "Grace", "Edith", "Oliver", "Noah", "Ruby", "Hugo", "Iris", "Owen", "Clara", "Miles", "Nora"),
        family=(
            "Ashdown",
            "Birchwood",
            "Calloway",
            "Draycott",
            "Ellery",
            "Fenwick",
            "Hartwell",
            "Kingsley",
            "Merrow",
            "Thorne",
        ),
        latin=("ada", "grace", "edith", "oliver", "noah", "ruby", "hugo", "iris", "owen", "clara", "miles", "nora"),
        countries=("US", "GB", "CA", "AU"),
        dialling="+44 20 7946 0{:03}",
    ),
    Tongue(
        weight=12,
        given=("Jürgen", "Sörine", "Käthe", "Björn", "Anneliese", "Lukas", "Friederike", "Matthäus"),
        family=("Müllenbach", "Großkreutz", "Schönfelder", "Weißhaupt", "Lindemann", "Brückner", "Haußmann"),
        latin=("juergen", "soerine", "kaethe", "bjoern", "anneliese", "lukas", "friederike", "matthaeus"),
        countries=("DE", "AT", "CH"),
        dialling="+49 30 23125{:03}",
    ),
    Tongue(
        weight=16,
        given=("小明", "美玲", "建国", "志强", "丽华", "雨桐", "子涵", "浩然"),
        family=("王", "李", "张", "陈", "欧阳", "司马", "林", "黄"),
        latin=("xiaoming", "meiling", "jianguo", "zhiqiang", "lihua", "yutong", "zihan", "haoran"),
        countries=("CN", "TW", "SG"),
        dialling="+86 139 1098 0{:03}",
        family_first=True,
        joint="",
    ),
    Tongue(
        weight=10,
        given=("ليلى", "عمر", "فاطمة", "يوسف", "نور", "خالد", "سلمى", "طارق"),
        family=("الحداد", "النجار", "العطار", "البستاني", "الخياط", "الصباغ"),
        latin=("layla", "omar", "fatima", "yusuf", "nour", "khalid", "salma", "tariq"),
        countries=("AE", "EG", "JO", "MA"),
        dialling="+971 50 123 4{:03}",
    ),
    Tongue(
        weight=8,
        given=("さくら", "健太", "美咲", "大輔", "陽子", "翔"),
        family=("田中", "佐々木", "山口", "渡辺", "小林", "清水"),
        latin=("sakura", "kenta", "misaki", "daisuke", "yoko", "sho"),
        countries=("JP",),
        dialling="+81 90 1234 5{:03}",
        family_first=True,
        joint=" ",
    ),
    Tongue(
        weight=8,
        given=("Анна", "Дмитрий", "Ольга", "Сергей", "Наталья", "Михаил"),
        family=("Лесных", "Белозеров", "Черных", "Шевченко", "Долгих", "Седых"),
        latin=("anna", "dmitry", "olga", "sergey", "natalia", "mikhail"),
        countries=("UA", "KZ", "BG"),
        dialling="+380 44 123 4{:03}",
    ),
    Tongue(
        weight=8,
        given=("प्रिया", "अर्जुन", "अनिता", "रवि", "मीरा", "विक्रम"),
        family=("शर्मा", "वर्मा", "गुप्ता", "पटेल", "अय्यर"),
        latin=("priya", "arjun", "anita", "ravi", "meera", "vikram"),
        countries=("IN",),
        dialling="+91 98100 12{:03}",
    ),
    Tongue(
        weight=12,
        given=("María José", "Íñigo", "Begoña", "Joaquín", "Zoë", "François", "Chloé", "João", "Conceição"),
        family=("Núñez Iglesias", "d'Aubigné", "Gonçalves", "Peñalver", "Lefèvre", "Ibáñez", "Saint-Yves"),
        latin=("mariajose", "inigo", "begona", "joaquin", "zoe", "francois", "chloe", "joao", "conceicao"),
        countries=("ES", "FR", "PT", "MX", "BR"),
        dialling="+34 612 34 5{:03}",
    ),
)

CITIES = {
    "US": "Portland", "GB": "Leeds", "CA": "Halifax", "AU": "Perth", "DE": "Köln", "AT": "Graz", "CH": "Zürich",
    "CN": "上海", "TW": "台北", "SG": "Singapore", "AE": "دبي", "EG": "القاهرة", "JO": "عمّان", "MA": "Fès",
    "JP": "大阪", "UA": "Львів", "KZ": "Алматы", "BG": "Пловдив", "IN": "पुणे", "ES": "Málaga", "FR": "Besançon",
    "PT": "Évora", "MX": "Mérida", "BR": "São Luís",
}  # fmt: skip

FIRM_HEADS = (
    "Aurora", "Baltic", "Cedar", "Delta", "Ember", "Fjord", "Granite", "Harbour", "Indigo", "Juniper", "Kestrel", "Lumen",
    "Meridian", "Nimbus", "Obsidian", "Pioneer", "Quartz", "Raven", "Sierra", "Tundra", "Umber", "Verdant", "Willow", "Zephyr",
    "北极星", "长江", "青云", "الأفق", "النخيل", "桜", "Сокол", "सूर्य",
)  # fmt: skip
FIRM_TAILS = (
    ("Robotics", "robotics"), ("Foods", "food"), ("Textiles", "textiles"), ("Shipping", "logistics"), ("Optics", "manufacturing"),
    ("Energy", "energy"), ("Clinics", "medical"), ("Press", "media"), ("Software", "software"), ("Insurance", "finance"),
)  # fmt: skip

JOBS = (
    "Head of Purchasing", "Office Manager", "CTO", "Buyer", "Operations Lead", "Founder", "Accountant", "采购经理",
    "مدير المشتريات",
    "Einkaufsleiterin", "Plant Manager", "Analyst",
)  # fmt: skip
TAGS = ("vip", "newsletter", "trade-fair-2025", "partner", "beta", "price-sensitive", "renewal", "reference")
SOURCES = ("website", "trade fair", "referral", "cold call", "partner", "webinar")
TEAMS = ("Inside Sales", "Key Accounts", "Customer Care", "Marketing", "亚太团队", "فريق الخليج")

SUBJECTS = {
    "CALL": ("Asked about delivery times", "Renewal call", "Price check", "Complaint about packaging", "电话咨询报价"),
    "EMAIL": (
        "Re: your offer",
        "Question about the invoice",
        "Contract draft",
        "استفسار عن الطلب",
        "Terminbestätigung",
    ),
    "MEETING": ("Quarterly review", "Kick-off", "Demo of the new line", "Lunch at the fair", "打合せ"),
    "NOTE": ("Prefers mornings", "Decides with the plant manager", "Budget frozen until spring", "Loves the blue one"),
    "CHAT": ("Where is my order?", "How do I reset it?", "Thanks 🙏", "कीमत?"),
    "PURCHASE": ("3 crates of the blue one", "Spare parts", "Annual licence", "Workshop for ten"),
    "WEB_VISIT": ("Pricing page", "Documentation", "Careers"),
    "SURVEY": ("Satisfaction survey", "Exit survey"),
}
BODIES = (
    "Spoke for a while. They will come back to us after the board meeting.",
    "Sent the sheet with sizes and prices again; the first one went to the wrong address.",
    "对方希望下周收到样品,并要求报价包含运费。",
    "طلبوا نسخة من العقد باللغة العربية قبل نهاية الأسبوع.",
    "Er möchte das Angebot bis Freitag, mit Skonto. 👍",
    "No news. Call again in March.",
)
