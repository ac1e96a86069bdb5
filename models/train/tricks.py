"""What looks like a plate and is none, drawn into street pictures: the detector's negatives.

Signs, captions, timestamps, buttons, paragraphs, bar codes, rows of windows, railings, grilles, lamps. `sign` puts one of
them into a window; most are drawn flat and then seen at an angle, as a plate would be.
"""
import cv2
import numpy as np

import scenes
import series

FLAT = (240, 120)  # the largest a flat thing is drawn, before it is seen at an angle


def words(rng) -> str:
    """A few words or numbers, in capitals, small letters or mixed."""
    every = series.SLOGANS + series.DEALERS + series.US_NAMES
    text = every[int(rng.integers(len(every)))]
    kind = rng.random()
    if kind < .2:
        text = series.fill(rng, ("DDD-DDDD", "DDDDDDDD", "LLLLLL", "DD", "LLLL", "DDD/DDD-DDDD", "DD.DD", "DD:DD")[int(rng.integers(8))])
    elif kind < .45:
        text = text.lower()
    elif kind < .7:
        text = text.title()
    return text


def contrast(rng, shade: float) -> float:
    """A shade that stands off `shade`, mostly by much."""
    if rng.random() < .7:
        return float(rng.uniform(200, 255) if shade < 128 else rng.uniform(0, 60))
    return float(np.clip(shade + rng.choice([-1, 1]) * rng.uniform(25, 90), 0, 255))


def board(rng, flat):
    """A sign with a rim: one word in much room, or lines of print."""
    h, w = flat.shape
    shade = float(rng.uniform(0, 255))
    flat[:] = shade
    ink = contrast(rng, shade)
    if rng.random() < .5:
        cv2.rectangle(flat, (0, 0), (w - 1, h - 1), float(rng.uniform(0, 255)), int(rng.integers(2, 10)))
    lines = int(rng.choice([1, 2, 3, 5, 8], p=[.4, .2, .15, .15, .1]))
    for k in range(lines):
        scenes.print_line(rng, flat, words(rng), rng.uniform(2, w * .2), h * (k + .5) / lines, h / lines * rng.uniform(.3, .8), ink, w * rng.uniform(.3, .95))


def bars(rng, flat):
    """A grille, a railing, a bar code, a crossing, rows of windows."""
    h, w = flat.shape
    if rng.random() < .7:
        flat[:] = float(rng.uniform(0, 255))
    ink = contrast(rng, float(flat.mean()))
    kind = rng.integers(4)
    if kind == 0:
        pitch = int(rng.integers(5, 26))
        for y in range(int(rng.integers(pitch)), h, pitch):
            cv2.line(flat, (0, y), (w, y), ink, max(1, int(pitch * rng.uniform(.2, .6))))
    elif kind == 1:
        pitch, thick = int(rng.integers(6, 30)), rng.uniform(.15, .7)
        for x in range(int(rng.integers(pitch)), w, pitch):
            cv2.line(flat, (x, 0), (x + int(rng.normal(0, 1)), h), ink, max(1, int(pitch * thick)))
        if rng.random() < .5:
            cv2.rectangle(flat, (0, 0), (w - 1, h - 1), ink, int(rng.integers(2, 12)))
    elif kind == 2:
        x = 4
        while x < w - 4:
            thick = int(rng.integers(1, 7))
            cv2.rectangle(flat, (x, 4), (x + thick, h - 5), ink, -1)
            x += thick + int(rng.integers(2, 9))
    else:
        across, down = int(rng.integers(2, 9)), int(rng.integers(1, 4))
        pw, ph = w / across, h / down
        f = rng.uniform(.35, .85, 2)
        for i in range(down):
            for j in range(across):
                if rng.random() < .92:
                    cv2.rectangle(flat, (int(j * pw + pw * (1 - f[0]) / 2), int(i * ph + ph * (1 - f[1]) / 2)), (int(j * pw + pw * (1 + f[0]) / 2), int(i * ph + ph * (1 + f[1]) / 2)), ink + float(rng.normal(0, 15)), -1)


def panel(rng, flat):
    """A bare panel, window or lamp."""
    flat[:] = float(rng.uniform(0, 255))
    if rng.random() < .5:
        ramp = np.linspace(0, rng.uniform(-90, 90), flat.shape[1])
        flat[:] = np.clip(flat + ramp, 0, 255).astype(np.uint8)
    cv2.rectangle(flat, (0, 0), (flat.shape[1] - 1, flat.shape[0] - 1), float(rng.uniform(0, 255)), int(rng.integers(1, 12)))


def hang(rng, window):
    """A flat thing, seen at an angle."""
    h, w = window.shape
    wide = float(np.exp(rng.uniform(np.log(10), np.log(w * .6))))
    high = wide * float(np.exp(rng.uniform(np.log(.1), np.log(1.2))))
    size = (FLAT[0], max(16, round(FLAT[0] * high / wide))) if high < wide / 2 else (max(16, round(FLAT[1] * wide / high)), FLAT[1])
    centre = np.float32([rng.uniform(0, w), rng.uniform(0, h)])
    quad = (scenes.tilt(rng, wide, high, rng.uniform(0, .7)) + centre).astype(np.float32)
    low = np.maximum(np.floor(quad.min(0)) - 2, 0).astype(int)
    top = np.minimum(np.ceil(quad.max(0)) + 2, (w, h)).astype(int)
    if (top - low).min() < 4:
        return
    flat = np.full(size[::-1], int(window[low[1]:top[1], low[0]:top[0]].mean()), np.uint8)
    (board, board, bars, bars, panel)[int(rng.integers(5))](rng, flat)
    corners = np.array([(0, 0), (size[0], 0), size, (0, size[1])], np.float32)
    quad = (quad - low).astype(np.float32)
    shape = (int(top[0] - low[0]), int(top[1] - low[1]))
    alpha = scenes.shrunk(cv2.copyMakeBorder(np.full_like(flat, 255), 8, 8, 8, 8, cv2.BORDER_CONSTANT), corners + 8, quad, shape).astype(np.float32) / 255
    if rng.random() < .15:
        alpha *= rng.uniform(.3, .8)
    part = window[low[1]:top[1], low[0]:top[0]]
    part[:] = (part + (scenes.shrunk(flat, corners, quad, shape) - part.astype(np.float32)) * alpha).astype(np.uint8)


def caption(rng, window):
    """Burnt-in text, on a bar of its own at times."""
    h, w = window.shape
    text = ["2026-11-22 08:41:07", "CAM 03", "12:05:59 AM", "NORTH GATE", "LIVE", series.fill(rng, "20DD/0D/DD"), series.fill(rng, "20DD-0D-DD DD:DD:DD"), series.fill(rng, "DD:DD:DD"), words(rng)][int(rng.integers(9))]
    tall, y, x = rng.uniform(6, 24), rng.choice([rng.uniform(5, 30), rng.uniform(h - 30, h - 5)]), rng.uniform(0, w * .5)
    shade = float(rng.choice([5, 250]))
    if rng.random() < .4:
        cv2.rectangle(window, (int(x * rng.uniform(0, 1)), int(y - tall * .7)), (int(rng.uniform(x + tall * 3, w)), int(y + tall * .7)), 255 - shade, -1)
    scenes.print_line(rng, window, text, x, y, tall, shade, w * .5)


def loose(rng, window):
    """Words and numbers on what is there: a shop's front, a badge, a door."""
    h, w = window.shape
    tall = float(np.exp(rng.uniform(np.log(5), np.log(40))))
    shade = float(rng.choice([rng.uniform(0, 60), rng.uniform(190, 255)]))
    x, y, widest = rng.uniform(-10, w * .7), rng.uniform(0, h), w * rng.uniform(.2, .8)
    for k in range(int(rng.choice([1, 2, 5], p=[.7, .2, .1]))):
        scenes.print_line(rng, window, words(rng), x, y + k * tall * 1.3, tall, shade, widest)


def glow(rng, window):
    """A lamp or a reflection: a soft bright spot or streak."""
    h, w = window.shape
    x, y = rng.uniform(0, w), rng.uniform(0, h)
    sx = float(np.exp(rng.uniform(np.log(3), np.log(40))))
    sy = sx * rng.uniform(.15, 1)
    x0, x1, y0, y1 = int(max(0, x - 3 * sx)), int(min(w, x + 3 * sx + 1)), int(max(0, y - 3 * sy)), int(min(h, y + 3 * sy + 1))
    ys, xs = np.ogrid[y0:y1, x0:x1]
    spot = np.exp(-(((xs - x) / sx) ** 2 + ((ys - y) / sy) ** 2)) * rng.uniform(80, 400)
    window[y0:y1, x0:x1] = np.minimum(window[y0:y1, x0:x1] + spot, 255).astype(np.uint8)


def sign(rng, window):
    """Puts one thing that looks a little like a plate into the window."""
    kinds = (hang, hang, hang, caption, loose, glow)
    kinds[int(rng.integers(len(kinds)))](rng, window)
