"""Draws plate characters: our own stroke alphabet, and faces of free fonts.

Number plates are stamped with dies of one stroke width and rounded-rectangle bowls, which few free fonts have. `Strokes`
draws such an alphabet from skeletons with parameters (width, stroke, roundness, variants of 1, 3, 4, 6, 7, A, M ...), each
drawn by hand here; a new set of parameters is a new "font". `Face` takes the same characters from a font file. Both give
masks whose height is the cap height, cached, so that drawing a plate is resizing and blending small pictures.
"""
import functools
import math
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import fonts

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CAP = 112  # height in pixels of a cached mask
NARROW = {"1": 0.55, "I": 0.25, "J": 0.9, "L": 0.92, "E": 0.93, "F": 0.93, "T": 0.98, "M": 1.18, "W": 1.32, "N": 1.03, "A": 1.06,
          "V": 1.05, "Y": 1.03, "Q": 1.0, "X": 1.02}


@dataclass(frozen=True)
class Strokes:
    """Parameters of a stroke alphabet; lengths in units of the cap height."""
    width: float = 0.5      # of a normal character, ink edge to ink edge
    stroke: float = 0.13
    bend: float = 0.2       # radius of the bowls' corners, of the skeleton
    ends: str = "flat"      # flat | round
    one: str = "flag"       # bar | flag | serif
    three: str = "round"    # round | flat
    four: str = "closed"    # closed | steep
    six: str = "bowl"       # bowl | straight
    seven: str = "straight"  # straight | kinked
    i: str = "bar"          # bar | serif
    apex: float = 0.0       # width of A's flat top
    middle: float = 0.48    # height of the middle bars
    valley: float = 0.66    # how far down the middle of M reaches; W's reaches up as far
    zero: str = "plain"     # plain | slash | dot | cut
    fixed: bool = False     # M and W as wide as the others
    cut: bool = False       # corners of bowls are cut off straight instead of rounded
    arm: float = 0.24       # how far the free end of 6, 9, 2, 3, 5, C, S comes back
    gap: float = 0.06       # how far the bowl of 6 and 9 reaches above the middle
    tail: str = "corner"    # of Q: corner | inside | below


def skeleton(char: str, f: Strokes) -> list[tuple[list, bool]]:
    """Polylines of `char` as ([(x, y, corner radius)], closed); x and y in 0..1 of the skeleton's box."""
    r, m, e = f.bend, f.middle, 0.06
    loop = [(0, 0, r), (1, 0, r), (1, 1, r), (0, 1, r)]
    if char == "0":
        lines = [(loop, True)]
        if f.zero == "slash":
            lines.append(([(0.2, 0.8, 0), (0.8, 0.2, 0)], False))
        elif f.zero == "dot":
            lines.append(([(0.5, 0.45, 0), (0.5, 0.55, 0)], False))
        elif f.zero == "cut":
            lines = [([(0.72, 0, 0), (0, 0, r), (0, 1, r), (1, 1, r), (1, 0.16, 0)], False)]
        return lines
    if char == "1":
        lines = [([(0.5, 0, 0), (0.5, 1, 0)], False)]
        if f.one != "bar":
            lines.append(([(0.5, 0.02, 0), (0.0, 0.2, 0)], False))
        if f.one == "serif":
            lines.append(([(0, 1, 0), (1, 1, 0)], False))
        return lines
    if char == "3" and f.three == "flat":
        return [([(0, 0, 0), (1, 0, 0), (0.45, 0.41, 0), (1, 0.41, r), (1, 1, r), (0, 1, r), (0, 0.76, 0)], False)]
    if char == "4" and f.four == "steep":
        return [([(0.55, 0, 0), (0, 0.74, 0), (1, 0.74, 0)], False), ([(0.74, 0.42, 0), (0.74, 1, 0)], False)]
    if char in "69" and f.six == "straight":
        lines = [([(0.72, 0, 0), (0.04, 0.56, 0)], False),
                 ([(0, 0.4, r), (1, 0.4, r), (1, 1, r), (0, 1, r)], True)]
    elif char in "69":
        lines = [([(1, f.arm, 0), (1, 0, r), (0, 0, r), (0, 1, r), (1, 1, r), (1, m - f.gap, r), (0, m - f.gap, 0)], False)]
        if f.arm < 0.12:  # the free end stops short of the corner
            lines = [([(0.9, f.arm, 0), (0.8, 0, 0.6 * r), (0, 0, r), (0, 1, r), (1, 1, r), (1, m - f.gap, r), (0, m - f.gap, 0)], False)]
    if char == "9":
        lines = [([(1 - x, 1 - y, c) for x, y, c in line], closed) for line, closed in lines]
    if char in "69":
        return lines
    if char == "7" and f.seven == "kinked":
        return [([(0, 0, 0), (1, 0, 0), (1, 0.17, 0.1), (0.36, 0.6, 0.2), (0.36, 1, 0)], False)]
    if char == "I" and f.i == "serif":
        return [([(0.5, 0, 0), (0.5, 1, 0)], False), ([(0, 0, 0), (1, 0, 0)], False), ([(0, 1, 0), (1, 1, 0)], False)]
    a = f.apex / 2
    table = {
        "2": [([(0, f.arm + 0.02, 0), (0, 0, r), (1, 0, r), (1, 0.42, r * 0.8), (0, 1, 0), (1, 1, 0)], False)],
        "3": [([(0, 0.24, 0), (0, 0, r), (1 - e, 0, r), (1 - e, m, r), (0.35, m, 0)], False),
              ([(0.35, m, 0), (1, m, r), (1, 1, r), (0, 1, r), (0, 0.75, 0)], False)],
        "4": [([(0.76, 1, 0), (0.76, 0, 0), (0, 0.72, 0), (1, 0.72, 0)], False)],
        "5": [([(0.95, 0, 0), (0.06, 0, 0), (0, 0.46, 0), (0.1, 0.38, 0.1), (1, 0.38, r), (1, 1, r), (0, 1, r), (0, 0.76, 0)], False)],
        "7": [([(0, 0, 0), (1, 0, 0), (0.32, 1, 0)], False)],
        "8": [([(e, 0, r), (1 - e, 0, r), (1 - e, m, r), (e, m, r)], True), ([(0, m, r), (1, m, r), (1, 1, r), (0, 1, r)], True)],
        "A": [([(0, 1, 0), (0.5 - a, 0, 0), (0.5 + a, 0, 0), (1, 1, 0)], False), ([(0.17, 0.7, 0), (0.83, 0.7, 0)], False)],
        "B": [([(0, 0, 0), (1 - e, 0, r), (1 - e, m, r), (0, m, 0)], True), ([(0, m, 0), (1, m, r), (1, 1, r), (0, 1, 0)], True)],
        "C": [([(1, 0.26, 0), (1, 0, r), (0, 0, r), (0, 1, r), (1, 1, r), (1, 0.74, 0)], False)],
        "D": [([(0, 0, 0), (1, 0, r * 1.1), (1, 1, r * 1.1), (0, 1, 0)], True)],
        "E": [([(1, 0, 0), (0, 0, 0), (0, 1, 0), (1, 1, 0)], False), ([(0, m, 0), (0.86, m, 0)], False)],
        "F": [([(1, 0, 0), (0, 0, 0), (0, 1, 0)], False), ([(0, m, 0), (0.86, m, 0)], False)],
        "G": [([(1, 0.25, 0), (1, 0, r), (0, 0, r), (0, 1, r), (1, 1, r), (1, 0.56, 0), (0.55, 0.56, 0)], False)],
        "H": [([(0, 0, 0), (0, 1, 0)], False), ([(1, 0, 0), (1, 1, 0)], False), ([(0, m, 0), (1, m, 0)], False)],
        "I": [([(0.5, 0, 0), (0.5, 1, 0)], False)],
        "J": [([(1, 0, 0), (1, 1, r), (0, 1, r), (0, 0.72, 0)], False)],
        "K": [([(0, 0, 0), (0, 1, 0)], False), ([(1, 0, 0), (0, 0.62, 0)], False), ([(0.33, 0.42, 0), (1, 1, 0)], False)],
        "L": [([(0, 0, 0), (0, 1, 0), (1, 1, 0)], False)],
        "M": [([(0, 1, 0), (0, 0, 0), (0.5, f.valley, 0), (1, 0, 0), (1, 1, 0)], False)],
        "N": [([(0, 1, 0), (0, 0, 0), (1, 1, 0), (1, 0, 0)], False)],
        "P": [([(0, 1, 0), (0, 0, 0), (1, 0, r), (1, m + 0.06, r), (0, m + 0.06, 0)], False)],
        "Q": [(loop, True), {"corner": ([(0.58, 0.7, 0), (1.03, 1.03, 0)], False), "inside": ([(0.5, 0.62, 0), (0.85, 0.95, 0)], False),
                             "below": ([(0.62, 0.8, 0), (0.8, 1.1, 0)], False)}[f.tail]],
        "R": [([(0, 1, 0), (0, 0, 0), (1, 0, r), (1, m + 0.05, r), (0, m + 0.05, 0)], False), ([(0.5, m + 0.05, 0), (1, 1, 0)], False)],
        "S": [([(1, 0.25, 0), (1, 0, r), (0, 0, r), (0, m, r), (1, m, r), (1, 1, r), (0, 1, r), (0, 0.75, 0)], False)],
        "T": [([(0, 0, 0), (1, 0, 0)], False), ([(0.5, 0, 0), (0.5, 1, 0)], False)],
        "U": [([(0, 0, 0), (0, 1, r), (1, 1, r), (1, 0, 0)], False)],
        "V": [([(0, 0, 0), (0.5, 1, 0), (1, 0, 0)], False)],
        "W": [([(0, 0, 0), (0.22, 1, 0), (0.5, 1 - f.valley, 0), (0.78, 1, 0), (1, 0, 0)], False)],
        "X": [([(0, 0, 0), (1, 1, 0)], False), ([(1, 0, 0), (0, 1, 0)], False)],
        "Y": [([(0, 0, 0), (0.5, 0.52, 0), (1, 0, 0)], False), ([(0.5, 0.52, 0), (0.5, 1, 0)], False)],
        "Z": [([(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)], False)],
    }
    table["O"] = [(loop, True)]
    return table[char]


def rounded(points: np.ndarray, radii: np.ndarray, closed: bool, cut: bool = False) -> np.ndarray:
    """The polyline with its corners replaced by curves of at most the given radii, or by straight cuts."""
    n, out = len(points), []
    for k in range(n):
        p = points[k]
        if radii[k] <= 0 or (not closed and k in (0, n - 1)):
            out.append(p)
            continue
        before, after = points[k - 1] - p, points[(k + 1) % n] - p
        a, b = np.hypot(*before), np.hypot(*after)
        d = min(radii[k], a / 2, b / 2)
        start, end = p + before * (d / max(a, 1e-6)), p + after * (d / max(b, 1e-6))
        if cut:
            out += [start, end]
            continue
        # control point pulled outwards a little less than the corner: near to a circle's arc
        for t in np.linspace(0, 1, 7):
            u = 1 - t
            w = 1.0 / math.sqrt(2)
            q = u * u + 2 * u * t * w + t * t
            out.append((u * u * start + 2 * u * t * w * p + t * t * end) / q)
    if closed:
        out.append(out[0])
    return np.array(out)


def char_width(char: str, f: Strokes) -> float:
    """Ink width of a character in units of the cap height."""
    if char == "1":
        return f.stroke if f.one == "bar" else f.width * (0.75 if f.one == "serif" else NARROW["1"])
    if char == "I":
        return f.width * 0.7 if f.i == "serif" else f.stroke
    if f.fixed:
        return f.width
    return f.width * NARROW.get(char, 1.0)


@functools.lru_cache(maxsize=20000)
def stroke_mask(char: str, f: Strokes) -> np.ndarray:
    """Mask of one character, CAP rows high."""
    over = 4
    t = f.stroke
    wide = char_width(char, f)
    inner_w, inner_h = max(wide - t, 0.0), 1 - t
    size = CAP * over
    w = max(round(wide * size), 2)
    mask = np.zeros((size, w), np.uint8)
    for line, closed in skeleton(char, f):
        pts = np.array([(x * inner_w + t / 2, y * inner_h + t / 2) for x, y, _ in line])
        if inner_w == 0:
            pts[:, 0] = t / 2
        pts = rounded(pts, np.array([c for _, _, c in line]), closed, f.cut)
        if not closed and f.ends == "flat":
            for end, (x, y, _), back in ((0, line[0], pts[1]), (-1, line[-1], pts[-2])):
                away = pts[end] - back
                if y in (0, 1) and abs(away[1]) > 0.2 * abs(away[0]):
                    pts[end] += away / max(abs(away[1]), 1e-6) * t
                elif x in (0, 1) and abs(away[0]) > abs(away[1]):
                    pts[end] += away / max(abs(away[0]), 1e-6) * t
        cv2.polylines(mask, [np.round(pts * size * 16).astype(np.int32).reshape(-1, 1, 2)], False, 255,
                      max(1, round(t * size)), cv2.LINE_AA, 4)
    return cv2.resize(mask, (max(1, round(w / over)), CAP), interpolation=cv2.INTER_AREA)


@functools.lru_cache(maxsize=400)
def opened(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


@functools.lru_cache(maxsize=400)
def face_size(path: str) -> int:
    """Point size at which the letter H is CAP pixels high."""
    box = opened(path, 200).getbbox("H")
    return max(20, round(200 * CAP / max(1, box[3] - box[1])))


@functools.lru_cache(maxsize=20000)
def face_mask(char: str, path: str) -> np.ndarray:
    """Mask of one character of a font file, its ink stretched to CAP rows."""
    font = opened(path, face_size(path))
    x0, y0, x1, y1 = font.getbbox(char)
    picture = Image.new("L", (max(1, x1 - x0), max(1, y1 - y0)))
    ImageDraw.Draw(picture).text((-x0, -y0), char, font=font, fill=255)
    mask = np.asarray(picture)
    return cv2.resize(mask, (max(1, round(mask.shape[1])), CAP), interpolation=cv2.INTER_AREA)


@functools.lru_cache(maxsize=6000)
def line_mask(text: str, path: str, height: int) -> np.ndarray:
    """Mask of a line of lettering, about `height` pixels of cap height."""
    font = opened(path, max(6, round(face_size(path) * height / CAP)))
    x0, y0, x1, y1 = font.getbbox(text)
    picture = Image.new("L", (max(1, x1 - x0), max(1, y1 - y0)))
    ImageDraw.Draw(picture).text((-x0, -y0), text, font=font, fill=255)
    return np.asarray(picture)


def random_strokes(rng: np.random.Generator, like: str = "any") -> Strokes:
    """A stroke alphabet near to a series' own ("us", "din", "mandatory", "gb", "fe") or anything."""
    def pick(*choices):
        return choices[int(rng.integers(len(choices)))]

    quantum = lambda low, high, step: round(float(rng.integers(round(low / step), round(high / step) + 1)) * step, 3)
    if like == "us":  # 1 and I differ: a die has a serif on one of them at least
        one, i = pick(("flag", "serif"), ("serif", "serif"), ("serif", "bar"), ("bar", "serif"), ("flag", "bar"), ("flag", "bar"))
        return Strokes(quantum(.42, .54, .03), quantum(.10, .145, .015), quantum(.14, .24, .02), pick("flat", "round"), one,
                       pick("round", "flat", "round"), "closed", pick("bowl", "bowl", "straight"), pick("straight", "kinked"), i,
                       pick(0.0, 0.15, 0.3), quantum(.44, .5, .02), pick(.45, .55, .66, .8, .95), pick("plain", "plain", "plain", "plain", "slash"), bool(rng.random() < .6),
                       bool(rng.random() < .15), pick(.2, .24, .3), pick(0.0, .06), pick("corner", "corner", "inside", "below"))
    if like == "din":
        return Strokes(quantum(.48, .6, .03), quantum(.1, .145, .015), quantum(.2, .3, .02), "flat", pick("flag", "flag", "flag", "serif"),
                       pick("round", "round", "flat"), pick("closed", "steep"), pick("bowl", "straight", "straight"), pick("straight", "straight", "kinked"),
                       pick("bar", "bar", "serif"), pick(0.0, 0.0, 0.12), quantum(.44, .5, .02), pick(.55, .66, .8, .95), "plain", bool(rng.random() < .3))
    if like == "mandatory":
        return Strokes(quantum(.5, .76, .03), quantum(.11, .2, .015), quantum(.08, .3, .02), pick("flat", "flat", "round"), pick("bar", "bar", "bar", "flag"),
                       "round", pick("closed", "closed", "steep"), pick("bowl", "bowl", "bowl", "straight"), "straight", "bar", pick(0.0, 0.12, 0.3, 0.4),
                       quantum(.42, .5, .02), pick(.4, .55, .66, .8), "plain", bool(rng.random() < .4), bool(rng.random() < .45), pick(.08, .1, .14, .18, .24), pick(-.02, 0.0, .04, .08),
                       pick("corner", "below", "below", "inside"))
    if like == "gb":
        return Strokes(quantum(.58, .66, .02), quantum(.16, .19, .015), quantum(.16, .26, .02), "flat", pick("bar", "flag", "flag"), "round", "closed", "bowl",
                       "straight", "bar", pick(0.1, 0.2), quantum(.46, .5, .02), fixed=bool(rng.random() < .5))
    if like == "fe":
        return Strokes(quantum(.56, .62, .03), quantum(.12, .15, .015), quantum(.1, .22, .02), "flat", pick("flag", "serif"), "round", pick("closed", "steep"),
                       pick("straight", "bowl"), pick("kinked", "straight"), pick("bar", "serif"), 0.12, quantum(.42, .5, .02), .66, pick("plain", "cut"), True)
    return Strokes(quantum(.4, .75, .05), quantum(.08, .2, .02), quantum(.06, .36, .03), pick("flat", "round"), pick("bar", "flag", "serif"),
                   pick("round", "flat"), pick("closed", "steep"), pick("bowl", "straight"), pick("straight", "kinked"), pick("bar", "serif"),
                   pick(0.0, 0.1, 0.25), quantum(.42, .5, .02), pick(.45, .66, .95), pick("plain", "plain", "slash", "dot"), bool(rng.random() < .4),
                   bool(rng.random() < .25), pick(.1, .16, .24, .3), pick(0.0, .06, .1), pick("corner", "inside", "below"))


class Alphabet:
    """Where a plate's characters come from: a `Strokes` or a font file, both by `mask(char)`."""

    def __init__(self, source: Strokes | str):
        self.source = source

    def mask(self, char: str) -> np.ndarray:
        if isinstance(self.source, str):
            return face_mask(char, self.source)
        return stroke_mask(char, self.source)


def random_alphabet(rng: np.random.Generator, like: str = "any", own: float = 0.7, near: tuple[str, ...] = ()) -> Alphabet:
    """Our own strokes with probability `own`, else a face whose name contains one of `near` (any if none does)."""
    paths = fonts.faces("character")
    if near:
        paths = tuple(p for p in paths if any(n in p for n in near)) or paths
    if rng.random() < own or not paths:
        return Alphabet(random_strokes(rng, like))
    return Alphabet(paths[int(rng.integers(len(paths)))])
