"""What plates are made of: colours, small print, emblems, seals, bolts, and the line of characters itself."""
import functools

import cv2
import numpy as np

import fonts
import glyphs


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
    elif kind == "chair":
        cv2.circle(mask, (17, 7), 6, 255, -1, cv2.LINE_AA)
        cv2.polylines(mask, [np.array([(17, 13), (18, 28), (34, 28), (40, 44), (46, 42)], np.int32)], False, 255, 5, cv2.LINE_AA)
        cv2.ellipse(mask, (20, 33), (13, 13), 0, 20, 290, 255, 4, cv2.LINE_AA)
    elif kind == "rider":  # a figure with limbs, as some states have between the groups
        at = np.cumsum(rng.normal(0, 9, (7, 2)), 0) + 24
        cv2.polylines(mask, [np.clip(at, 3, 45).astype(np.int32)], False, 255, int(rng.integers(4, 10)), cv2.LINE_AA)
        cv2.ellipse(mask, (24, 28), (int(rng.integers(8, 20)), int(rng.integers(5, 10))), float(rng.uniform(-40, 40)), 0, 360, 255, -1, cv2.LINE_AA)
        for _ in range(4):
            x = float(rng.uniform(8, 40))
            cv2.line(mask, (round(x), 28), (round(x + rng.normal(0, 8)), 46), 255, int(rng.integers(2, 6)), cv2.LINE_AA)
    else:  # a state's outline, a bird, a flower: a random blob
        angles = np.sort(rng.uniform(0, 2 * np.pi, 14))
        radii = rng.uniform(0.18, 0.5, 14)
        return filled(mask, [(0.5 + r * np.cos(a), 0.5 + r * np.sin(a)) for a, r in zip(angles, radii)], size)
    return mask


def emblem(rng, canvas, x, y, w, h, kinds=("disc", "ring", "shield", "star", "tree", "block", "blob", "blob", "blob", "rider", "rider")):
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
