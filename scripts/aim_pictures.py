#!/usr/bin/env python3
"""Draws the pictures of docs/aim-a-camera.md: one drawn plate as worse and worse cameras show it, and what was read of each.

    scripts/aim_pictures.py WATCHPOST OUT

Takes tests/fixtures/one-plate.jpg (drawn by us, 1280×720, a plate 111 pixels wide), makes it smaller, smeared, dark or leaning as a
whole picture, has WATCHPOST read that (`watchpost read --json`), and puts the plate's surroundings beside what came of it. Nothing is
written beside a picture that was not read out of it. Needs Python with numpy, OpenCV and Pillow; the output is kept in docs/images.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent.parent
PLATE = (311, 505, 111, 26)     # in one-plate.jpg
TEXT = "CJ270FS"
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
TILE = (240, 96)
TURNED = (240, 176)             # a plate at 45° is as high as it is wide


def smaller(picture, width):
    """The whole scene shrunk until the plate is `width` wide, in a picture of the same size."""
    k = width / PLATE[2]
    small = cv2.resize(picture, None, fx=k, fy=k, interpolation=cv2.INTER_AREA)
    out = np.full_like(picture, 96)
    out[:small.shape[0], :small.shape[1]] = small
    return out, k


def smeared(picture, pixels):
    kernel = np.zeros((1, 2 * (pixels // 2) + 1), np.float32)
    kernel[0, :] = 1 / kernel.size
    return cv2.filter2D(picture, -1, kernel), 1.0


def dark(picture, share):
    rng = np.random.default_rng(7)
    lit = picture.astype(np.float32) * share + rng.normal(0, 5, picture.shape)
    return np.clip(lit, 0, 255).astype(np.uint8), 1.0


def leaning(picture, degrees):
    middle = (PLATE[0] + PLATE[2] / 2, PLATE[1] + PLATE[3] / 2)
    turn = cv2.getRotationMatrix2D(middle, -degrees, 1.0)
    size = (picture.shape[1], picture.shape[0])
    return cv2.warpAffine(picture, turn, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE), 1.0


def read(watchpost, picture):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "picture.jpg"
        cv2.imwrite(str(file), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
        said = subprocess.run([watchpost, "read", "--json", str(file)], capture_output=True, text=True, check=True)
    return [(r["plate"], r["confidence"]) for r in json.loads(said.stdout)["reads"] if r.get("plate")]


def tile(picture, k, size):
    """The plate's surroundings, enlarged to one size whatever they had."""
    x, y, w, h = (value * k for value in PLATE)
    half = (0.75 * w, 0.75 * w * size[1] / size[0])
    box = [x + w / 2 - half[0], y + h / 2 - half[1], x + w / 2 + half[0], y + h / 2 + half[1]]
    image = Image.fromarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
    return image.resize(size, Image.Resampling.NEAREST if k < 1 else Image.Resampling.BILINEAR, box=tuple(box))


def row(watchpost, name, out, cases, size=TILE):
    font = ImageFont.truetype(FONT, 15)
    sheet = Image.new("RGB", (len(cases) * (size[0] + 8) - 8, size[1] + 48), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (label, (picture, k)) in enumerate(cases):
        x = i * (size[0] + 8)
        sheet.paste(tile(picture, k, size), (x, 0))
        reads = read(watchpost, picture)
        told = f"{reads[0][0]}  {reads[0][1] * 100:.0f} %" if reads else "not read"
        right = bool(reads) and reads[0][0] == TEXT
        draw.text((x + 2, size[1] + 4), label, fill="black", font=font)
        draw.text((x + 2, size[1] + 25), told, fill="#0a6b2d" if right else "#a8200d", font=font)
        print(f"{name}: {label}: {told}")
    sheet.quantize(200).save(out / f"aim-{name}.png", optimize=True)


def main():
    watchpost, out = sys.argv[1], Path(sys.argv[2])
    picture = cv2.imread(str(ROOT / "tests/fixtures/one-plate.jpg"))
    row(watchpost, "size", out, [(f"{w} pixels wide", smaller(picture, w)) for w in (111, 60, 40, 24)])
    row(watchpost, "shutter", out, [("sharp" if p == 1 else f"smeared by {p} pixels", smeared(picture, p)) for p in (1, 5, 9, 15)])
    row(watchpost, "light", out, [(f"{int(s * 100)} % of the light", dark(picture, s)) for s in (1.0, 0.3, 0.12, 0.05)])
    row(watchpost, "angle", out, [(f"turned by {d}°", leaning(picture, d)) for d in (0, 14, 30, 45)], TURNED)


if __name__ == "__main__":
    main()
