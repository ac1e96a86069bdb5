"""What is written on plates: patterns of characters by series, names and slogans around them.

A pattern is spelled with L (letter), D (digit), a literal in quotes of itself (0-9 A-Z other than L and D), space (gap), `-`
and `.` (drawn marks that are not read) and `*` (an emblem between groups: shield, seal, star, not read). The weights are
rough shares for training; a flat share of free strings keeps the reader from trusting patterns blindly.
"""
import numpy as np

US_PATTERNS = [
    ("DLLLDDD", 10), ("DLDDDDD", 4), ("DDDDDLD", 3), ("LLD*LDL", 10), ("LLL*DDDD", 8), ("LLD*LDDD", 4), ("LLL DDD", 9), ("LLL*DDD", 5),
    ("LLL DDDD", 8), ("LLL-DDDD", 4), ("DDD LLL", 5), ("DDD*LLL", 4), ("DDDLLL", 2), ("LLLDDD", 3), ("LDDDDDD", 3), ("LDD DDDD", 3), ("L DDDDDD", 1),
    ("DDDDDDD", 3), ("DDDDDD", 2), ("DDDDD", 1), ("LLDDDDD", 2), ("LL DDDDD", 2), ("LLD DDD", 1), ("DDDL DD", 1), ("LL*DDDD", 1),
    ("LDD*DDD", 1), ("LLL*LLD", 1), ("DD*LLL", 1), ("DLL DDD", 1), ("DDLDDDL", 1), ("LLDDLL", 1), ("LLDD*LL", 1), ("LDL DDD", 1), ("LDDLDD", 1),
    ("DDD*DDDD", 1), ("LLLDDL", 1), ("DL*DDDDL", 1), ("LDD LDD", 1), ("DDDDLL", 1), ("LL*DDDL", 1), ("LLLLLL", 1), ("LLLLLLL", 2), ("LLLLL", 1), ("LLLLDD", 1),
    ("LLLLLD", 1), ("DLLLL", 1),
]
EU_PATTERNS = [  # pattern, weight, country on the band, alphabet
    ("LL-DDDLL", 8, "SK", "din"), ("LL*DDDLL", 10, "SK", "din"), ("LL-LLLLL", 1, "SK", "din"), ("DLD*DDDD", 9, "CZ", "din"), ("LLL*DD-DD", 4, "CZ", "din"), ("DLD DDDD", 3, "CZ", "din"),
    ("LL DDDDD", 5, "PL", "din"), ("LLL DDLL", 2, "PL", "din"), ("LL DDDDL", 2, "PL", "din"), ("LLL LDDD", 1, "PL", "din"), ("LLL DDDDD", 1, "PL", "din"), ("LL*DDDDD", 1, "PL", "din"),
    ("L*LL DDDD", 3, "D", "fe"), ("LL*LL DDD", 3, "D", "fe"), ("LLL*LL DD", 3, "D", "fe"), ("LL*L DDDD", 2, "D", "fe"), ("L-LL DDD", 2, "D", "din"), ("LLL-L DDD", 1, "D", "din"), ("LLL-LLDD", 1, "D", "din"),
    ("LL-LLDD", 1, "D", "fe"), ("LD-LLL", 1, "D", "din"), ("LL DD LLL", 4, "RO", "din"), ("L DDD LLL", 2, "RO", "din"), ("L DD LLL", 2, "RO", "din"), ("LLL-DDD", 3, "H", "din"),
    ("LL*DDDLL", 2, "A", "din"), ("L DDDDDL", 1, "A", "din"), ("LL DDDLL", 3, "I", "din"), ("LL-DDD-LL", 3, "F", "din"), ("DDD LLL DD", 1, "F", "din"), ("DDDD LLL", 3, "E", "din"),
    ("DD-LL-DD", 1, "P", "din"), ("DD-DD-LL", 1, "P", "din"), ("LL-DD-LL", 1, "P", "din"), ("LL-DDD-L", 1, "NL", "gb"), ("DD-LLL-D", 1, "NL", "gb"), ("D-LLL-DDD", 2, "B", "din"),
    ("LLL-DDD", 1, "B", "din"), ("LL DDDDD", 2, "N", "din"), ("LLL DDD", 2, "S", "din"), ("LLL-DDD", 1, "FIN", "din"), ("LL DD DDD", 2, "DK", "din"), ("LL*DDD-LL", 2, "HR", "din"),
    ("LL DDDD LL", 2, "BG", "din"), ("DDD LLL", 1, "EST", "din"), ("LLL DDD", 1, "LT", "din"), ("LL-DDDD", 1, "LV", "din"), ("LL*DDDDDD", 1, "CH", "din"), ("LL DDDDLL", 1, "UA", "din"),
    ("LL*DDD-LL", 1, "SRB", "din"), ("LLL-DDDD", 1, "GR", "din"), ("LL LD-DDD", 1, "SLO", "din"), ("LL DDDD", 1, "L", "din"), ("DD-L-DDDDD", 1, "IRL", "din"), ("LLLLLL", 1, "D", "din"), ("L-LLLLL", 1, "D", "din"),
]
OTHER_PATTERNS = {
    "br": [("LLL-DDDD", 1), ("LLL.DDDD", 4), ("LLL DDDD", 1)],
    "br-mercosul": [("LLLDLDD", 4), ("LLL DLDD", 1)],
    "gb": [("LLDD LLL", 8), ("LDDD LLL", 2), ("LLL DDDL", 1), ("LLL DDD", 1), ("LDLLL", 1)],
    "tr": [("DD L DDDDD", 3), ("DD LL DDDD", 3), ("DD LL DDD", 2), ("DD LLL DD", 3), ("DD LLL DDD", 2), ("DDL DDDDD", 3), ("DDL-DDD.DD", 2), ("DDL-DDDD", 1)],
    "in": [("LL DD LL DDDD", 4), ("LLDDLLDDDD", 3), ("LL-DD-LL-DDDD", 1), ("LL DD L DDDD", 1), ("LLDDLDDDD", 1)],
    "mx": [("LLL-DD-DD", 2), ("LLL-DDD-L", 2), ("L-DDDDD", 1), ("LL-DDDDD", 1), ("DDDLLL", 1)],
    "pk": [("LLL-DDD", 2), ("LLL-DDDD", 2), ("LL-DDDD", 1), ("LLL DDD", 1), ("LL DDD", 1)],
    "ar": [("LLL DDD", 2), ("LL DDD LL", 2)],
    "vn": [("DDL-DDD.DD", 4), ("DDL-DDDD", 2), ("DDL DDDDD", 1), ("DDLL-DDD.DD", 1)],
}
DISTRICTS = {  # two-letter districts make these groups far from uniform
    "SK": "BA BB BJ BN BR BS BY CA DK DS DT GA GL HC HE IL KA KE KK KM KN KS LC LE LM LV MA MI ML MT MY NM NO NR NZ PB PD PE PK PN PO PP PT PU RA RK RS RV SA SB SC SE SI SK SL SN SO SP SV "
          "TN TO TR TS TT TV VK VT ZA ZC ZH ZM ZV".split(),
    "RO": "AB AG AR BC BH BN BR BT BV BZ CJ CL CS CT CV DB DJ GJ GL GR HD HR IF IL IS MH MM MS NT OT PH SB SJ SM SV TL TM TR VL VN VS".split(),
}
US_NAMES = ("CALIFORNIA TEXAS MISSOURI LOUISIANA ALASKA FLORIDA GEORGIA OHIO NEVADA ARIZONA OREGON UTAH IDAHO MONTANA COLORADO KANSAS IOWA ILLINOIS INDIANA MICHIGAN WISCONSIN "
            "TENNESSEE KENTUCKY ALABAMA VIRGINIA MARYLAND DELAWARE VERMONT MAINE HAWAII WYOMING NEBRASKA OKLAHOMA ARKANSAS CONNECTICUT PENNSYLVANIA WASHINGTON MINNESOTA").split() + [
                "NEW YORK", "NEW JERSEY", "NEW MEXICO", "NORTH CAROLINA", "SOUTH DAKOTA", "WEST VIRGINIA", "RHODE ISLAND", "NEW HAMPSHIRE", "CA EXEMPT", "MASSACHUSETTS"]
SLOGANS = ["The Lone Star State", "Sportsman's Paradise", "Show-Me State", "The Last Frontier", "Garden State", "Sunshine State", "Land of Lincoln", "Great Lakes", "First in Flight", "DEALER",
           "www.sample.example", "VEHICLE MFR", "Live Free", "GRAND CANYON STATE", "Famous Potatoes", "EXEMPT", "In God We Trust", "Constitution State", "EMPIRE STATE", "Birthplace of Aviation"]
CITIES = ["BA-SALVADOR", "SP-DIADEMA", "MG-BELO HORIZONTE", "DF-BRASILIA", "PR-CURITIBA", "RJ-RIO DE JANEIRO", "ES-CARIACICA", "GO-GOIANIA", "RS-CANOAS", "SC-ITAJAI", "PE-RECIFE", "CE-FORTALEZA", "SP-SAO PAULO",
          "BA-FEIRA DE SANTANA", "AM-MANAUS", "PA-BELEM", "BA-CAMACARI", "SP-CAMPINAS"]
DEALERS = ["AUTO MOBIL", "Motors", "TOYOTA", "www.cars.example", "AUTOHAUS MAIER", "UNICAR", "LONDON", "HONDA", "SLOVENSKA REPUBLIKA", "CZECH REPUBLIC", "Racing Team", "tel. 0905 123 456", "(415) 555-0142",
           "Stevens Creek", "DEALER SALES", "SAN FRANCISCO", "Autocentrum", "ALUMNI", "carmax", "BRNO, Veveri 5", "CARTEC", "MY OTHER CAR", "FORD"]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CLEAR = "ABCDEFGHJKLMNPRSTUVWXYZ"  # without those that most series leave out


def choose(rng: np.random.Generator, rows: list[tuple]) -> tuple:
    """One of the rows, whose second entry is its weight."""
    weights = np.array([row[1] for row in rows], float)
    return rows[int(rng.choice(len(rows), p=weights / weights.sum()))]


def fill(rng: np.random.Generator, pattern: str, country: str = "", letters: str = LETTERS) -> str:
    """A random text for a pattern, its marks kept."""
    out = []
    for char in pattern:
        if char == "L":
            out.append(letters[int(rng.integers(len(letters)))])
        elif char == "D":
            out.append(str(int(rng.integers(10))))
        else:
            out.append(char)
    if country in DISTRICTS and pattern.startswith("LL") and pattern[2:3] != "L":
        names = DISTRICTS[country]
        out[:2] = names[int(rng.integers(len(names)))]
    return "".join(out)


def free_pattern(rng: np.random.Generator) -> str:
    """A pattern of 4 to 9 characters with marks anywhere."""
    n = int(rng.integers(4, 10))
    kinds = ["D" if rng.random() < 0.55 else "L" for _ in range(n)]
    if rng.random() < 0.6:
        kinds.insert(int(rng.integers(1, n)), " -*."[int(rng.choice(4, p=[.4, .3, .2, .1]))])
    return "".join(kinds)


def marked(rng: np.random.Generator, text: str, patterns: list[str]) -> str:
    """`text` with the marks of a pattern that fits it, else with a gap where letters meet digits."""
    shape = "".join("D" if c.isdigit() else "L" for c in text)
    fitting = [p for p in patterns if "".join(c for c in p if c in "LD") == shape]
    if fitting:
        chars = iter(text)
        return "".join(next(chars) if c in "LD" else c for c in fitting[int(rng.integers(len(fitting)))])
    out = text[:1]
    for before, char in zip(text, text[1:]):
        out += (" " if before.isdigit() != char.isdigit() and len(text) > 5 else "") + char
    return out
