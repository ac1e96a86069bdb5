"""Draws number plates: clean, frontal pictures with their text, series by series.

`render(rng, region, text)` is what others call: the reader's crops, the detector's scenes and the demo clips are all made
from it. It draws no dirt, no blur and no surroundings (see `scenes.py`); two plates from the same generator state are equal.
Layouts, patterns and colours follow the real series roughly; no plate of a real vehicle is copied.
"""
import functools
from dataclasses import dataclass, field

import cv2
import numpy as np

import fonts
import glyphs
import series

REGIONS = [("us", 33), ("eu", 24), ("br", 18), ("br-mercosul", 3), ("gb", 4), ("tr", 4), ("in", 2), ("mx", 2), ("pk", 2), ("ar", 1), ("free", 7)]


@dataclass
class Plate:
    """A drawn plate. `chars` holds (character, x0, y0, x1, y1) in pixels of `rgb`, in reading order."""
    rgb: np.ndarray
    text: str
    region: str
    chars: list[tuple[str, int, int, int, int]] = field(default_factory=list)


def tint(rng, base, spread=12):
    """A colour near `base`, lighter or darker more than of another hue."""
    return np.clip(np.array(base, float) + rng.normal(0, spread / 2, 3) + rng.normal(0, spread), 0, 255)


def blend(canvas: np.ndarray, mask: np.ndarray, x: float, y: float, colour) -> None:
    """Paints `colour` through `mask` with its corner at (x, y); what lies outside is cut off."""
    x, y = round(x), round(y)
    h, w = mask.shape
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, canvas.shape[1]), min(y + h, canvas.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    alpha = mask[y0 - y:y1 - y, x0 - x:x1 - x, None].astype(np.float32) / 255
    part = canvas[y0:y1, x0:x1]
    part += (np.asarray(colour, np.float32) - part) * alpha


def lettering(rng, canvas, text, centre, height, colour, widest=None):
    """A line of small print around `centre`."""
    paths = fonts.faces("lettering")
    if not paths or height < 3:
        return
    mask = glyphs.line_mask(text, paths[int(rng.integers(len(paths)))], 24)
    scale = height / 24
    if widest and mask.shape[1] * scale > widest:
        scale = widest / mask.shape[1]
    mask = cv2.resize(mask, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    blend(canvas, mask, centre[0] - mask.shape[1] / 2, centre[1] - mask.shape[0] / 2, colour)


def filled(shape, points, size):
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [np.round(np.array(points) * (size - 1) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return mask


@functools.lru_cache(maxsize=64)
def emblem_mask(kind: str, seed: int) -> np.ndarray:
    """A 48-pixel mask of a graphic that is no character."""
    rng, size = np.random.default_rng(seed), 48
    mask = np.zeros((size, size), np.uint8)
    if kind == "disc":
        cv2.circle(mask, (24, 24), 22, 255, -1, cv2.LINE_AA)
    elif kind == "ring":
        cv2.circle(mask, (24, 24), 19, 255, 6, cv2.LINE_AA)
    elif kind == "shield":
        return filled(mask, [(0.1, 0.02), (0.9, 0.02), (0.9, 0.55), (0.75, 0.85), (0.5, 1), (0.25, 0.85), (0.1, 0.55)], size)
    elif kind == "star":
        angles = np.arange(10) * np.pi / 5 - np.pi / 2
        return filled(mask, [(0.5 + (0.5 if k % 2 == 0 else 0.2) * np.cos(a), 0.5 + (0.5 if k % 2 == 0 else 0.2) * np.sin(a)) for k, a in enumerate(angles)], size)
    elif kind == "tree":
        return filled(mask, [(0.5, 0), (0.8, 0.45), (0.65, 0.45), (0.95, 0.85), (0.55, 0.85), (0.55, 1), (0.45, 1), (0.45, 0.85), (0.05, 0.85), (0.35, 0.45), (0.2, 0.45)], size)
    elif kind == "block":
        mask[2:46, 8:40] = 255
        mask[rng.integers(2, 40):, rng.integers(8, 30):] //= 2
    else:  # a state's outline, a bird, a flower: a random blob
        angles = np.sort(rng.uniform(0, 2 * np.pi, 14))
        radii = rng.uniform(0.18, 0.5, 14)
        return filled(mask, [(0.5 + r * np.cos(a), 0.5 + r * np.sin(a)) for a, r in zip(angles, radii)], size)
    return mask


def emblem(rng, canvas, x, y, w, h, kinds=("disc", "ring", "shield", "star", "tree", "block", "blob", "blob", "blob")):
    """A graphic within the box, in one to three colours."""
    kind = kinds[int(rng.integers(len(kinds)))]
    strength = rng.uniform(0.35, 1)
    for part in range(int(rng.integers(1, 4))):
        f = 1 - 0.28 * part
        mask = emblem_mask(kind if part == 0 else ("blob", "block", "disc")[int(rng.integers(3))], int(rng.integers(8)))
        mask = cv2.resize(mask, (max(1, round(w * f)), max(1, round(h * f))), interpolation=cv2.INTER_AREA)
        colour = rng.uniform(0, 255, 3) * rng.choice([0.6, 1.0])
        blend(canvas, (mask * strength).astype(np.uint8), x + w * (1 - f) / 2, y + h * (1 - f) / 2, colour)


def seals(rng, canvas, x, y, w, h):
    """One or two stickers above each other, as between the groups of many European plates."""
    n = int(rng.choice([1, 2, 2]))
    d = min(w, h * 0.46)
    for k in range(n):
        cy = y + h * ((0.27, 0.75)[k] if n == 2 else 0.5)
        kinds = ("disc", "ring", "shield") if rng.random() < 0.8 else ("block", "star")
        emblem(rng, canvas, x + (w - d) / 2, cy - d / 2, d, d, kinds)


def write(rng, canvas, marked, alphabet, box, colour, spacing=0.12, gap=0.35, emblem_as="any", fit=1.0, anchor=0.5, pitched=0.5):
    """Draws `marked` (see series.py) into box (x0, y0, x1, y1); returns the plate's `chars`."""
    x0, y0, x1, y1 = box
    h = y1 - y0
    masks = [alphabet.mask(c) if c.isalnum() else None for c in marked]
    slot = alphabet.mask("H").shape[1] if rng.random() < pitched else 0  # all characters take the same room
    widths = []
    for c, mask in zip(marked, masks):
        if mask is not None:
            widths.append(max(mask.shape[1], slot) / glyphs.CAP * h)
        else:
            widths.append({" ": gap, "-": max(gap, 0.28), ".": max(gap * 0.7, 0.2), "*": max(gap, 0.32)}[c] * h)
    space = spacing * h
    natural = sum(widths) + space * (len(widths) - 1)
    squeeze = min((x1 - x0) / natural, fit)
    widths, space = [w * squeeze for w in widths], space * squeeze
    x = x0 + (x1 - x0 - natural * squeeze) * anchor
    chars = []
    for c, mask, w in zip(marked, masks, widths):
        if mask is not None:
            ink = mask.shape[1] / glyphs.CAP * h * squeeze
            left = x + (w - ink) / 2
            blend(canvas, cv2.resize(mask, (max(1, round(ink)), max(1, round(h))), interpolation=cv2.INTER_AREA), left, y0, colour)
            chars.append((c, round(left), round(y0), round(left + ink), round(y1)))
        elif c == "-":
            cv2.rectangle(canvas, (round(x + w * .1), round(y0 + h * .46)), (round(x + w * .9), round(y0 + h * .57)), tuple(map(float, colour)), -1)
        elif c == ".":
            cv2.circle(canvas, (round(x + w / 2), round(y0 + h * .5)), max(1, round(h * .07)), tuple(map(float, colour)), -1, cv2.LINE_AA)
        elif c == "*":
            if emblem_as == "seals":
                seals(rng, canvas, x, y0, w, h)
            else:
                f = rng.uniform(0.55, 1.0)
                emblem(rng, canvas, x - w * .1, y0 + h * (1 - f) * rng.uniform(0.2, 0.8), w * 1.2, h * f)
        x += w + space
    return chars


def blank(rng, w, h, base, spread=10):
    """A plate's ground: one colour, a slight slope, sometimes a picture in pale colours."""
    canvas = np.empty((h, w, 3), np.float32)
    top, bottom = tint(rng, base, spread), tint(rng, base, spread)
    ramp = np.linspace(0, 1, h, dtype=np.float32)[:, None, None]
    canvas[:] = top + (bottom - top) * ramp
    return canvas


def border(rng, canvas, colour, thick=None):
    h, w = canvas.shape[:2]
    inset = max(1, round(h * rng.uniform(0.015, 0.045)))
    cv2.rectangle(canvas, (inset, inset), (w - 1 - inset, h - 1 - inset), tuple(map(float, colour)), thick or max(1, round(h * rng.uniform(0.012, 0.03))), cv2.LINE_AA)


def bolts(rng, canvas, spots):
    h, w = canvas.shape[:2]
    for x, y in spots:
        if rng.random() < 0.75:
            r = max(1, round(h * rng.uniform(0.02, 0.045)))
            stretch = rng.uniform(1, 2.2) if rng.random() < 0.5 else 1
            cv2.ellipse(canvas, (round(x * w), round(y * h)), (round(r * stretch), r), 0, 0, 360, [float(rng.uniform(10, 190))] * 3, -1, cv2.LINE_AA)


def pale_scene(rng, canvas):
    """Hills, stripes or a blob behind the characters, in pale colours."""
    h, w = canvas.shape[:2]
    strength = rng.uniform(0.1, 0.45)
    layer = canvas.copy()
    for _ in range(int(rng.integers(1, 4))):
        colour = tuple(float(v) for v in rng.uniform(60, 255, 3))
        kind = rng.integers(3)
        if kind == 0:
            xs = np.linspace(0, w, 9)
            ys = h * (rng.uniform(0.3, 0.9) + 0.15 * rng.standard_normal(9))
            cv2.fillPoly(layer, [np.array([*zip(xs, ys), (w, h), (0, h)], np.int32)], colour)
        elif kind == 1:
            y = rng.uniform(0, h)
            cv2.rectangle(layer, (0, int(y)), (w, int(y + h * rng.uniform(0.05, 0.4))), colour, -1)
        else:
            cv2.ellipse(layer, (int(rng.uniform(0, w)), int(rng.uniform(0, h))), (int(rng.uniform(5, w / 3)), int(rng.uniform(5, h / 2))), 0, 0, 360, colour, -1)
    canvas += (layer - canvas) * strength


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
    if rng.random() < 0.06:  # a large graphic left or right, characters in the rest
        if rng.random() < 0.75:
            emblem(rng, canvas, w * .04, h * .25, w * .22, h * .5)
            x0 = w * .3
        else:
            emblem(rng, canvas, w * .74, h * .25, w * .22, h * .5)
            x1 = w * .7
    if rng.random() < 0.14:  # small stacked letters: not read
        side, size = rng.random() < 0.6, h * rng.uniform(0.15, 0.25)
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
    kind = rng.choice(3, p=[.72, .2, .08])
    base, ink = [((185, 188, 190), (20, 20, 22)), ((170, 35, 35) if rng.random() < .6 else (95, 80, 80), (235, 235, 235)), ((232, 232, 232), (20, 20, 22))][kind]
    canvas = blank(rng, w, h, base, 16)
    tall, middle = rng.uniform(0.46, 0.56), rng.uniform(0.58, 0.65)
    alphabet = glyphs.random_alphabet(rng, "mandatory", 0.7, ("overpass", "barlow-", "roboto-", "arimo", "dejavu", "titillium", "rubik"))
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
    """Mercosul, UK, Turkey and Vietnam, India, Mexico, Pakistan, Argentina and free series share one layout."""
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


def render(rng: np.random.Generator, region: str | None = None, text: str | None = None) -> Plate:
    """A clean, frontal plate of `region` (one of REGIONS; drawn by their weights if None) with `text` (random if None).

    A given text may be any of A-Z and 0-9; its groups are set as the region's patterns have them where one fits.
    """
    if region is None:
        region = series.choose(rng, REGIONS)[0]
    if text is not None:
        text = "".join(c for c in text.upper() if c in glyphs.ALPHABET)
        if not text:
            raise ValueError("text has no character of A-Z or 0-9")
    drawn = {"us": us, "eu": eu, "br": br}.get(region)
    canvas, chars = drawn(rng, text) if drawn else plain(rng, region, text)
    return Plate(np.clip(canvas, 0, 255).astype(np.uint8), "".join(c[0] for c in chars), region, chars)
