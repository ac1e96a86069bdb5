"""Draws number plates: clean, frontal pictures with their text, series by series.

`render(rng, region, text)` is what others call: the reader's crops, the detector's scenes and the demo clips are all made
from it. It draws no dirt, no blur and no surroundings (see `scenes.py`); two plates from the same generator state are equal.
Layouts, patterns and colours follow the real series roughly; no plate of a real vehicle is copied.
"""
from dataclasses import dataclass, field

import cv2
import numpy as np

import glyphs
import series
from parts import blank, blend, bolts, border, emblem, lettering, pale_scene, seals, tint, write

REGIONS = [("us", 33), ("eu", 20), ("br", 20), ("br-mercosul", 3), ("gb", 4), ("tr", 3), ("in", 3), ("mx", 2), ("vn", 2), ("pk", 1), ("ar", 2), ("free", 7)]
TWO_LINES = [("eu", 4), ("br", 4), ("br-mercosul", 3), ("in", 4), ("vn", 4), ("gb", 3), ("ar", 2), ("tr", 2), ("free", 2)]


@dataclass
class Plate:
    """A drawn plate. `chars` holds (character, x0, y0, x1, y1) in pixels of `rgb`, in reading order; `upper` is how many of them stand in
    the upper of two lines (0: there is one line)."""
    rgb: np.ndarray
    text: str
    region: str
    chars: list[tuple[str, int, int, int, int]] = field(default_factory=list)
    upper: int = 0


KINDS = ("disc", "ring", "shield", "star", "tree", "block", "blob", "blob", "rider")


def pick_us(rng, text):
    patterns = [p for p, _ in series.US_PATTERNS]
    letters = series.LETTERS if rng.random() < 0.3 else series.CLEAR
    return series.marked(rng, text, patterns) if text else series.fill(rng, series.choose(rng, series.US_PATTERNS)[0], letters=letters)


def us(rng, text):
    h = int(rng.integers(96, 121))
    w = round(h * rng.uniform(1.9, 2.08))
    marked = pick_us(rng, text)
    dark = rng.random() < 0.05
    base = [(235, 235, 235), (235, 235, 240), (225, 232, 245), (245, 238, 205), (250, 190, 40), (215, 235, 225), (240, 225, 215)][int(rng.choice(7, p=[.4, .2, .1, .1, .07, .08, .05]))]
    ink = [(15, 20, 40), (25, 35, 110), (15, 15, 15), (20, 60, 40), (140, 25, 25), (60, 60, 70)][int(rng.choice(6, p=[.3, .33, .2, .07, .05, .05]))]
    if dark:
        base, ink = tint(rng, (30, 40, 70), 25), (235, 225, 190)
    canvas = blank(rng, w, h, base)
    if rng.random() < 0.35:
        pale_scene(rng, canvas)
    if rng.random() < 0.12:
        band = tuple(float(v) for v in rng.uniform(20, 230, 3))
        cv2.rectangle(canvas, (0, 0), (w, int(h * rng.uniform(0.1, 0.24))), band, -1)
    tall = rng.uniform(0.42, 0.6)
    middle = rng.uniform(0.5, 0.58)
    x0, x1 = w * rng.uniform(0.03, 0.09), w * rng.uniform(0.91, 0.97)
    if rng.random() < 0.1:  # a large graphic left or right, characters in the rest
        if rng.random() < 0.75:
            emblem(rng, canvas, w * .04, h * .25, w * .22, h * .5, ("chair",) if rng.random() < .3 else KINDS)
            x0 = w * .3
        else:
            emblem(rng, canvas, w * .74, h * .25, w * .22, h * .5)
            x1 = w * .7
    if rng.random() < 0.16:  # small stacked letters: not read
        side, size = rng.random() < 0.6, h * rng.uniform(0.13, 0.25)
        at = x0 + size * .4 if side else x1 - size * .4
        small = glyphs.random_alphabet(rng, "us")
        for k, char in enumerate(series.fill(rng, ("LL", "DD", "LLL")[int(rng.integers(3))])):
            mask = small.mask(char)
            blend(canvas, cv2.resize(mask, (max(1, round(mask.shape[1] / glyphs.CAP * size)), round(size)), interpolation=cv2.INTER_AREA), at - size * .25, h * (middle - tall / 2) + k * size * 1.15, ink)
        x0, x1 = (x0 + size, x1) if side else (x0, x1 - size)
    alphabet = glyphs.random_alphabet(rng, "us", 0.72, ("condensed", "narrow", "antonio", "share-tech", "rajdhani", "din", "dosis", "rounded", "saira"))
    chars = write(rng, canvas, marked, alphabet, (x0, h * (middle - tall / 2), x1, h * (middle + tall / 2)), tint(rng, ink, 10), rng.uniform(0.08, 0.2), rng.uniform(0.25, 0.5), fit=rng.uniform(0.9, 1.5))
    if rng.random() < 0.85:
        name = series.US_NAMES[int(rng.integers(len(series.US_NAMES)))]
        name = name.title() if rng.random() < 0.45 else name
        colour = tint(rng, [(160, 30, 40), (25, 35, 110), (15, 15, 15), (20, 80, 60)][int(rng.integers(4))], 20)
        lettering(rng, canvas, name, (w * rng.uniform(.45, .55), h * rng.uniform(.1, .16)), h * rng.uniform(.1, .2), colour, w * rng.uniform(.35, .6))
    if rng.random() < 0.6:
        lettering(rng, canvas, series.SLOGANS[int(rng.integers(len(series.SLOGANS)))], (w * .5, h * rng.uniform(.87, .93)), h * rng.uniform(.06, .11), tint(rng, ink, 30), w * .6)
    for x, y in ((.1, .11), (.9, .11), (.1, .89), (.9, .89)):  # stickers of month and year
        if rng.random() < 0.35:
            sw, sh = w * rng.uniform(.09, .15), h * rng.uniform(.1, .17)
            colour = tuple(float(v) for v in rng.uniform(30, 255, 3))
            cv2.rectangle(canvas, (round(x * w - sw / 2), round(y * h - sh / 2)), (round(x * w + sw / 2), round(y * h + sh / 2)), colour, -1)
            lettering(rng, canvas, series.fill(rng, ("DD", "LLL", "DDDD")[int(rng.integers(3))]), (x * w, y * h), sh * .6, [float(rng.choice([10, 245]))] * 3, sw * .9)
    if rng.random() < 0.5:
        border(rng, canvas, tint(rng, ink if rng.random() < .5 else base, 25))
    bolts(rng, canvas, ((.2, .09), (.8, .09), (.2, .91), (.8, .91)))
    return canvas, chars


def euroband(rng, canvas, country, right=False):
    """The blue band with stars and country; returns its width."""
    h, w = canvas.shape[:2]
    band = round(h * rng.uniform(0.34, 0.46))
    x = w - band if right else 0
    colour = tint(rng, (20, 60, 160), 20) if rng.random() < 0.93 else tint(rng, (235, 235, 235))
    canvas[:, x:x + band] = colour
    cx, cy, radius = x + band / 2, h * rng.uniform(.28, .36), band * .28
    if rng.random() < 0.8:
        for a in np.arange(12) * np.pi / 6:
            cv2.circle(canvas, (round(cx + radius * np.cos(a)), round(cy + radius * np.sin(a))), max(1, round(h * .016)), (250.0, 220.0, 40.0), -1)
    else:
        emblem(rng, canvas, cx - radius, cy - radius, 2 * radius, 2 * radius, ("block", "disc"))
    lettering(rng, canvas, country, (cx, h * rng.uniform(.74, .8)), h * rng.uniform(.16, .24), (245, 245, 245), band * .8)
    return band


def eu(rng, text):
    if text:
        rows = [row for row in series.EU_PATTERNS if "".join(c for c in row[0] if c in "LD") == "".join("D" if c.isdigit() else "L" for c in text)]
        row = series.choose(rng, rows or series.EU_PATTERNS)
        marked = series.marked(rng, text, [row[0]])
    else:
        row = series.choose(rng, series.EU_PATTERNS)
        marked = series.fill(rng, row[0], row[2])
    country, like = row[2], row[3]
    if like == "fe" and rng.random() < .3:
        like = "din"
    h = int(rng.integers(80, 101))
    w = round(h * rng.uniform(4.4, 4.85))
    base = (235, 235, 235) if rng.random() < 0.9 else (250, 195, 40)
    canvas = blank(rng, w, h, base)
    left, right = w * rng.uniform(.015, .03), w * rng.uniform(.965, .985)
    where = rng.random() + (0.25 if country == "SK" and rng.random() < 0.5 else 0)
    if where < 0.8:
        left = euroband(rng, canvas, country) + h * rng.uniform(0.02, 0.2)
        if country in ("I", "F") and rng.random() < .6:
            right = w - euroband(rng, canvas, country[:1], True) - h * .08
    elif where < 0.92 and country in ("SK", "CZ", "HR", "CH", "A"):  # no band in sight: arms above the country's letters
        emblem(rng, canvas, left, h * rng.uniform(.15, .25), h * .26, h * .36, ("shield", "shield", "disc"))
        lettering(rng, canvas, country, (left + h * .13, h * rng.uniform(.68, .8)), h * rng.uniform(.12, .2), (20, 20, 20), h * .3)
        left += h * rng.uniform(.28, .36)
    elif where < 0.88:  # no band: arms or country small at the left
        seals(rng, canvas, left, h * .15, h * .3, h * .7)
        left += h * .35
    if country == "SK" and rng.random() < 0.5 and where < 0.8:  # arms above the country, characters follow
        emblem(rng, canvas, h * .12, h * .12, h * .24, h * .3, ("shield",))
    ink = tint(rng, [(15, 15, 18), (20, 30, 90), (150, 20, 30), (20, 80, 40)][int(rng.choice(4, p=[.9, .04, .04, .02]))], 8)
    if country == "B":
        ink = tint(rng, (150, 30, 40), 10)
    near = ("din", "barlow", "overpass", "saira", "roboto", "titillium", "archivo", "arimo", "dejavu")
    alphabet = glyphs.random_alphabet(rng, like, 0.65, near)
    tall = rng.uniform(0.62, 0.76)
    spacing = rng.uniform(0.1, 0.19)
    chars = write(rng, canvas, marked, alphabet, (left, h * (.5 - tall / 2), right, h * (.5 + tall / 2)), ink, spacing, rng.uniform(.25, .5), "seals", rng.uniform(.92, 1.2), rng.uniform(.35, .65))
    if rng.random() < 0.85:
        border(rng, canvas, ink, max(1, round(h * rng.uniform(.015, .035))))
    bolts(rng, canvas, ((.03, .5), (.97, .5)) if rng.random() < .3 else ())
    return canvas, chars


def br(rng, text):
    h = int(rng.integers(90, 111))
    w = round(h * rng.uniform(2.95, 3.2))
    patterns = series.OTHER_PATTERNS["br"]
    marked = series.marked(rng, text, [p for p, _ in patterns]) if text else series.fill(rng, series.choose(rng, patterns)[0])
    kind = rng.choice(3, p=[.62, .3, .08])
    base, ink = [((185, 188, 190), (20, 20, 22)), ((170, 35, 35) if rng.random() < .6 else (95, 80, 80), (235, 235, 235)), ((232, 232, 232), (20, 20, 22))][kind]
    canvas = blank(rng, w, h, base, 16)
    tall, middle = rng.uniform(0.44, 0.58), rng.uniform(0.58, 0.65)
    alphabet = glyphs.random_alphabet(rng, "mandatory", 0.82, ("overpass", "barlow-", "roboto-", "arimo", "dejavu", "titillium", "rubik"))
    chars = write(rng, canvas, marked, alphabet, (w * rng.uniform(.04, .08), h * (middle - tall / 2), w * rng.uniform(.92, .96), h * (middle + tall / 2)), tint(rng, ink, 10), rng.uniform(.12, .22), rng.uniform(.22, .4), fit=rng.uniform(.95, 1.3))
    city = series.CITIES[int(rng.integers(len(series.CITIES)))]
    lettering(rng, canvas, city.replace("-", " - ") if rng.random() < .5 else city, (w * rng.uniform(.45, .55), h * rng.uniform(.15, .21)), h * rng.uniform(.09, .13), tint(rng, ink, 10), w * .6)
    if rng.random() < 0.7:
        cv2.rectangle(canvas, (round(w * .17), round(h * .1)), (round(w * .84), round(h * .26)), [float(rng.uniform(60, 150))] * 3, 1)
    if rng.random() < 0.7:  # the lead seal
        cv2.circle(canvas, (round(w * rng.uniform(.08, .12)), round(h * rng.uniform(.14, .24))), round(h * rng.uniform(.04, .08)), tuple(tint(rng, (150, 40, 30), 30)), -1, cv2.LINE_AA)
    if rng.random() < 0.6:
        border(rng, canvas, tint(rng, ink, 40))
    bolts(rng, canvas, ((.38, .08), (.62, .08), (.35, .93), (.65, .93)))
    return canvas, chars


def plain(rng, region, text):
    """Mercosul, UK, Turkey, Vietnam, India, Mexico, Pakistan, Argentina and free series share one layout."""
    if region == "free":
        marked = series.marked(rng, text, []) if text else series.fill(rng, series.free_pattern(rng), letters=series.LETTERS if rng.random() < .4 else series.CLEAR)
    else:
        patterns = series.OTHER_PATTERNS[region]
        marked = series.marked(rng, text, [p for p, _ in patterns]) if text else series.fill(rng, series.choose(rng, patterns)[0])
    aspect = {"br-mercosul": 3.08, "mx": 2.05, "ar": 2.6, "pk": 3.2, "free": rng.uniform(2.2, 5)}.get(region, 4.6) * rng.uniform(.95, 1.05)
    h = int(rng.integers(80, 111))
    w = round(h * aspect)
    base, ink = (238, 238, 238), (15, 15, 18)
    if region in ("gb", "in", "pk", "free", "tr") and rng.random() < .35:
        base = (248, 196, 40)
    if (region == "ar" and len(marked) == 7) or (region in ("pk", "free", "in") and rng.random() < .12):
        base, ink = (25, 25, 28), (235, 235, 235)
    canvas = blank(rng, w, h, base)
    y0, y1 = (.3, .93) if region == "br-mercosul" or (region == "ar" and base[0] > 100) else (.24, .82) if region == "mx" else sorted((rng.uniform(.1, .2), rng.uniform(.8, .9)))
    left, right = w * .03, w * .97
    if region in ("br-mercosul", "ar") and base[0] > 100:
        cv2.rectangle(canvas, (0, 0), (w, round(h * .24)), tuple(tint(rng, (20, 50, 150), 15)), -1)
        lettering(rng, canvas, "BRASIL" if region == "br-mercosul" else "REPUBLICA ARGENTINA", (w / 2, h * .12), h * .13, (245, 245, 245), w * .5)
    elif region == "tr" or (region in ("gb", "in", "free") and rng.random() < .4):
        left = euroband(rng, canvas, {"tr": "TR", "gb": "GB", "in": "IND"}.get(region, "X")) + h * .1
    elif region in ("mx", "pk"):
        lettering(rng, canvas, ("JALISCO", "PUNJAB", "SINDH", "SONORA", "ICT-ISLAMABAD")[int(rng.integers(5))], (w / 2, h * .12), h * .12, tint(rng, ink, 30), w * .5)
    like = {"br-mercosul": "fe", "gb": "gb", "mx": "us", "free": "any", "in": "any"}.get(region, "din")
    alphabet = glyphs.random_alphabet(rng, like, 0.5 if region in ("free", "in", "pk") else .7)
    chars = write(rng, canvas, marked, alphabet, (left, h * y0, right, h * y1), tint(rng, ink, 10), rng.uniform(.08, .2), rng.uniform(.25, .5), fit=rng.uniform(.92, 1.3))
    if rng.random() < 0.6:
        border(rng, canvas, tint(rng, ink, 30))
    bolts(rng, canvas, ((.2, .5), (.8, .5), (.5, .1), (.5, .9)) if rng.random() < .4 else ())
    return canvas, chars


# Of two-line plates: width by height, height of the two lines' characters, patterns of the upper and lower line. Rough, as they differ from year to year.
STACKED = {
    "eu": ((1.2, 2.2), (.34, .4), [("L", "LL DDD"), ("LL", "DDDDD"), ("LLL", "DDDD"), ("LL", "L DDDD"), ("DLD", "DDDD"), ("LL*L", "DDD"), ("L", "DDDDL"), ("LL DD", "LLL"), ("LLL", "DDL")]),
    "br": ((1.1, 1.35), (.32, .4), [("LLL", "DDDD")]),
    "br-mercosul": ((1.1, 1.3), (.32, .38), [("LLL", "DLDD")]),
    "in": ((1.3, 2.1), (.34, .4), [("LL DD", "LL DDDD"), ("LLDDL", "DDDD"), ("LL-DD", "L-DDDD"), ("LLDDLL", "DDDD"), ("LL DD LL", "DDDD")]),
    "vn": ((1.25, 2.1), (.36, .42), [("DDL", "DDD.DD"), ("DD-LD", "DDD.DD"), ("DD-LD", "DDDD"), ("DDL", "DDDD"), ("DD-LL", "DDD.DD")]),
    "gb": ((1.3, 1.6), (.36, .42), [("LLDD", "LLL"), ("LDDD", "LLL"), ("LLL", "DDDL")]),
    "ar": ((1.1, 1.3), (.34, .38), [("DDD", "LLL"), ("L DDD", "LLL")]),
    "tr": ((1.3, 1.7), (.36, .4), [("DD LL", "DDDD"), ("DD LLL", "DDD"), ("DD L", "DDDDD")]),
    "free": ((1.1, 2.2), (.3, .42), [("LL", "DDDD"), ("LLL", "DDD"), ("DDD", "LLL"), ("DD", "DDDD"), ("LLDD", "DDDD")]),
}
LIKE = {"eu": "din", "br": "mandatory", "br-mercosul": "fe", "gb": "gb", "in": "any", "free": "any", "vn": "us"}


def stacked(rng, region):
    """A plate of two lines; the third value is how many characters stand in the upper one."""
    aspects, talls, lines = STACKED[region]
    h = int(rng.integers(110, 151))
    w = round(h * rng.uniform(*aspects))
    base, ink = (236, 236, 236), (15, 15, 18)
    if region == "br":
        base, ink = ((185, 188, 190), ink) if rng.random() < .7 else ((160, 40, 40), (235, 235, 235))
    elif region in ("gb", "in", "vn", "free") and rng.random() < .3:
        base = (248, 196, 40)
    elif region in ("vn", "ar", "in") and rng.random() < .25:
        base, ink = tint(rng, (30, 40, 90), 30), (235, 235, 235)
    canvas = blank(rng, w, h, base, 14)
    top, left = 0.0, w * rng.uniform(.03, .1)
    right = w - left
    if region in ("br", "br-mercosul", "ar") and rng.random() < .9:  # city or country above
        top = rng.uniform(.1, .18)
        if region != "br":
            cv2.rectangle(canvas, (0, 0), (w, round(h * top)), tuple(tint(rng, (20, 50, 150), 15)), -1)
        word = series.CITIES[int(rng.integers(len(series.CITIES)))] if region == "br" else "BRASIL" if region == "br-mercosul" else "ARGENTINA"
        lettering(rng, canvas, word, (w / 2, h * top * .55), h * top * .6, ink if region == "br" else (245, 245, 245), w * .6)
    elif region in ("eu", "tr", "gb", "in") and rng.random() < .6:  # band or seals beside the upper line
        size = h * rng.uniform(.2, .3)
        cv2.rectangle(canvas, (0, 0), (round(size), round(h * rng.uniform(.42, .55))), tuple(tint(rng, (20, 60, 160), 20)), -1)
        lettering(rng, canvas, {"tr": "TR", "gb": "GB", "in": "IND"}.get(region, "D"), (size / 2, h * .36), h * .1, (245, 245, 245), size * .8)
        left += size * .8
    upper, lower = lines[int(rng.integers(len(lines)))]
    upper, lower = series.fill(rng, upper), series.fill(rng, lower)
    alphabet = glyphs.random_alphabet(rng, LIKE.get(region, "din"), .75)
    room = 1 - top
    tall = rng.uniform(*talls) * room
    gap = rng.uniform(.2, .5) * (room - 2 * tall)
    y = top + (room - 2 * tall - gap) * rng.uniform(.35, .65)
    ink = tint(rng, ink, 10)
    fit = rng.uniform(.95, 1.5)
    first = write(rng, canvas, upper, alphabet, (left, h * y, right, h * (y + tall)), ink, rng.uniform(.1, .3), rng.uniform(.3, .5), "seals", fit, rng.uniform(.3, .7))
    y += tall + gap
    second = write(rng, canvas, lower, alphabet, (w * .04, h * y, w * .96, h * (y + tall)), ink, rng.uniform(.08, .2), rng.uniform(.25, .5), "seals", fit, rng.uniform(.35, .65))
    if rng.random() < 0.7:
        border(rng, canvas, tint(rng, ink, 30))
    bolts(rng, canvas, ((.3, .06), (.7, .06), (.5, .06), (.3, .94), (.7, .94), (.05, .5), (.95, .5)) if rng.random() < .6 else ())
    return canvas, first + second, len(first)


def render(rng: np.random.Generator, region: str | None = None, text: str | None = None, two_lines: bool = False) -> Plate:
    """A clean, frontal plate of `region` (one of REGIONS; drawn by their weights if None) with `text` (random if None).

    A given text may be any of A-Z and 0-9; its groups are set as the region's patterns have them where one fits. Plates of two
    lines (regions of TWO_LINES) have random texts only.
    """
    if region is None:
        region = series.choose(rng, TWO_LINES if two_lines else REGIONS)[0]
    if text is not None:
        text = "".join(c for c in text.upper() if c in glyphs.ALPHABET)
        if not text:
            raise ValueError("text has no character of A-Z or 0-9")
    upper = 0
    if two_lines:
        canvas, chars, upper = stacked(rng, region)
    else:
        drawn = {"us": us, "eu": eu, "br": br}.get(region)
        canvas, chars = drawn(rng, text) if drawn else plain(rng, region, text)
    return Plate(np.clip(canvas, 0, 255).astype(np.uint8), "".join(c[0] for c in chars), region, chars, upper)
