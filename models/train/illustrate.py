"""Draws plates of the kinds that a reader gets wrong, for the docs: nothing in them is taken from a picture.

    illustrate.py model.onnx OUT.jpg

A row a kind, named by its number as `docs/models.md` ("Where it goes wrong") has them. Seeds are tried in order, and those that the reader
misreads are shown; where it gets all of them right, the first ones. Below each crop stands what is written there and what was read.
"""
import argparse
import pathlib

import cv2
import numpy as np

import degrade
import plates
import scenes
from evaluate import beam, session

COLUMNS, TRIES, TILE = 4, 40, (240, 72)


class Plain:
    """Surroundings drawn by ourselves: a slope of grey and grain."""

    def patch(self, rng, w, h):
        a, b = rng.uniform(20, 200, 2)
        ramp = np.linspace(a, b, h)[:, None] + np.linspace(0, rng.uniform(-40, 40), w)[None] + rng.normal(0, 4, (h, w))
        return np.clip(ramp, 0, 255).astype(np.uint8)


def calm(rng, region, text=None, high=26.0, turned=0.0, **how):
    """A plate seen well: its picture, corners and text."""
    plate = plates.render(rng, region, text, **how)
    view, quad = scenes.seen(rng, plate, Plain(), 0.15, char_height=high, turned=turned)
    return view, quad, plate.text


def cut(rng):
    """1: the corners cut a character off."""
    view, quad, text = calm(rng, str(rng.choice(["us", "eu", "br"])))
    side = (quad[1] - quad[0]) * rng.uniform(.07, .13)
    quad[[0, 3]] += side * (rng.random() < .6)
    quad[[1, 2]] -= side * rng.choice((-.6, 1))
    return view, quad, text


def alike(rng):
    """2: characters that look alike and that only their place tells apart."""
    pool = "0OQD1I8B5S2Z6G"
    text = "".join(rng.choice(list(pool), 3)) + "".join(rng.choice(list("0185263"), 4))
    view, quad, text = calm(rng, str(rng.choice(["br", "us"])), text, high=14.0)
    return degrade.blur(rng, view, 0.5), quad, text


def seals(rng):
    """3: seals, shields and letters of countries, dealers' frames."""
    return calm(rng, str(rng.choice(["eu", "us"])), high=11.0)


def dark(rng):
    """4: deep shade, hardly any contrast."""
    view, quad, text = calm(rng, str(rng.choice(["us", "br"])), high=18.0)
    low, span = rng.uniform(15, 45), rng.uniform(5, 11)
    view = np.clip(low + view.astype(np.float32) / 255 * span + rng.normal(0, 1.2, view.shape), 0, 255).astype(np.uint8)
    return degrade.coded(view, 60), quad, text


def small(rng):
    """5: small, and coarsely coded."""
    view, quad, text = calm(rng, str(rng.choice(["us", "eu", "br"])), high=7.0)
    return degrade.coded(view, 30), quad, text


def smeared(rng):
    """6: motion and focus blur."""
    view, quad, text = calm(rng, str(rng.choice(["us", "eu", "br"])), high=20.0)
    kernel = np.zeros((11, 11), np.float32)
    kernel[5, :int(rng.integers(7, 12))] = 1
    return cv2.GaussianBlur(cv2.filter2D(view, -1, kernel / kernel.sum()), (0, 0), rng.uniform(.5, 2)), quad, text


def steep(rng):
    """7: seen at 45 to 50 degrees."""
    return calm(rng, str(rng.choice(["us", "eu"])), high=16.0, turned=float(rng.choice((-1, 1)) * rng.uniform(.78, .87)))


def two_lines(rng):
    """8: two lines, read as one crop."""
    return calm(rng, None, high=18.0, two_lines=True)


KINDS = (cut, alike, seals, dark, small, smeared, steep, two_lines)


def tile(crop, text, read, number):
    """A crop with what it says and what was read."""
    out = np.full((TILE[1] + 24, TILE[0] + 8), 255, np.uint8)
    out[:TILE[1], :TILE[0]] = cv2.resize(crop, TILE, interpolation=cv2.INTER_CUBIC)
    cv2.putText(out, f"{text} : {read or '-'}", (2, TILE[1] + 17), cv2.FONT_HERSHEY_SIMPLEX, .5, 0, 1, cv2.LINE_AA)
    if number:
        cv2.rectangle(out, (0, 0), (18, 20), 255, -1)
        cv2.putText(out, str(number), (4, 15), cv2.FONT_HERSHEY_SIMPLEX, .5, 0, 1, cv2.LINE_AA)
    return out


def shown(net, kind, number):
    """One row: misread ones first."""
    wrong, right = [], []
    for seed in range(TRIES):
        view, quad, text = kind(np.random.default_rng(1000 * number + seed))
        crop = scenes.rectified(view, quad)
        read = beam(net.run(None, {"plate": crop[None, None].astype(np.float32) / 255})[0][0])[0][0]
        (right if read.replace("O", "0") == text.replace("O", "0") else wrong).append((crop, text, read))
    print(f"{kind.__doc__} {len(wrong)} of {TRIES} misread")
    return np.hstack([tile(*case, number if k == 0 else None) for k, case in enumerate((wrong + right)[:COLUMNS])])


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("model", type=pathlib.Path)
    args.add_argument("out", type=pathlib.Path)
    args = args.parse_args()
    cv2.setNumThreads(1)
    net = session(args.model)
    cv2.imwrite(str(args.out), np.vstack([shown(net, kind, at + 1) for at, kind in enumerate(KINDS)]), [cv2.IMWRITE_JPEG_QUALITY, 80])


if __name__ == "__main__":
    main()
