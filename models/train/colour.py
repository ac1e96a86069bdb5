"""The colour of a vehicle: a small histogram of the pixels in its box, and a logistic regression on it.

`colour.py` fits on the crops of `colour-labels.txt` that are marked `fit`, says how good it is on those marked `test` (pictures of
sites that `objects-held.txt` sets aside), and writes the weights as `src/vision/colour/weights.rs`. The labels were given by eye:
part, how the crop was chosen (`random`, or `chosen` for its colour), picture, index of its box among the vehicles and persons of that picture, and the
colour; a second letter is another colour that counts as right too, X what a person would not tell (many colours, too dark, a
colour that the list lacks). `src/vision/colour.rs` computes the same features.
"""
import argparse
import json
import os
import pathlib

import cv2
import numpy as np
import torch

import objects

LABELS = pathlib.Path(__file__).with_name("colour-labels.txt")
WEIGHTS = pathlib.Path(__file__).parents[2] / "src/vision/colour/weights.rs"
COLOURS = "WSKRBGYN"
NAMES = ["white", "silver", "black", "red", "blue", "green", "yellow", "brown"]
GRID = 24  # points across and down the body
INSET = (0.12, 0.14, 0.12, 0.12)  # what is left out of the box: left, top, right, bottom
FRAME = 32  # points across and down the frame
LUMAS, HUES = 6, 8
FEATURES = LUMAS + 2 * HUES + 4


def planes(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Luma, and Cb and Cr of half the size around 0: full-range BT.601, as the box has it of a JPEG."""
    every = cv2.cvtColor(picture, cv2.COLOR_BGR2YCrCb).astype(np.float32)
    h, w = (n // 2 * 2 for n in every.shape[:2])
    half = cv2.resize(every[:h, :w, 1:], (w // 2, h // 2), interpolation=cv2.INTER_AREA)
    return every[..., 0], half[..., 1] - 128, half[..., 0] - 128


def points(box, count: int, shape) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the middles of `count` x `count` cells of the box."""
    x0, y0, x1, y1 = box
    at = (np.arange(count) + 0.5) / count
    columns = np.clip(x0 + at * (x1 - x0), 0, shape[1] - 1).astype(int)
    rows = np.clip(y0 + at * (y1 - y0), 0, shape[0] - 1).astype(int)
    return rows[:, None], columns[None]


def taken(image, box, count):
    y, cb, cr = image
    rows, columns = points(box, count, y.shape)
    small = (np.minimum(rows // 2, cb.shape[0] - 1), np.minimum(columns // 2, cb.shape[1] - 1))
    return y[rows, columns], cb[small], cr[small]


def features(image, box) -> np.ndarray:
    """`FEATURES` numbers of the vehicle in `box`."""
    x0, y0, x1, y1 = box
    w, h = x1 - x0, y1 - y0
    body = (x0 + INSET[0] * w, y0 + INSET[1] * h, x1 - INSET[2] * w, y1 - INSET[3] * h)
    y, cb, cr = (v.ravel() for v in taken(image, body, GRID))
    fy, fcb, fcr = (v.ravel() for v in taken(image, (0, 0, image[0].shape[1], image[0].shape[0]), FRAME))
    chroma = np.hypot(cb, cr)
    share = np.clip((chroma - 8) / 16, 0, 1)  # how far a pixel has a colour at all
    out = np.zeros(FEATURES, np.float64)

    def spread(at, count, weight, where, wrap):
        low = np.floor(at).astype(int)
        part = at - low
        for index, much in ((low, 1 - part), (low + 1, part)):
            index = index % count if wrap else np.clip(index, 0, count - 1)
            np.add.at(out, where + index, weight * much)

    spread(np.clip(y / 255 * LUMAS - 0.5, 0, LUMAS - 1), LUMAS, 1 - share, 0, False)
    hue = (np.degrees(np.arctan2(cr, cb)) % 360) / 360 * HUES
    light = np.clip((y - 40) / 120, 0, 1)
    spread(hue, HUES, share * (1 - light), LUMAS, True)
    spread(hue, HUES, share * light, LUMAS + HUES, True)
    out /= len(y)
    out[-4:] = fy.mean() / 255, y.mean() / 255, fcb.mean() / 32, fcr.mean() / 32
    return out


def crops(data: pathlib.Path):
    """Rows of the list as (part, how, file, planes, box, label)."""
    pictures = {}
    for held in (False, True):
        for name, picture, boxes in objects.Pictures(data, held=held).rows:
            pictures[name] = (picture, boxes)
    rows = []
    for line in LABELS.read_text().splitlines():
        part, how, name, index, label = line.split()
        picture, boxes = pictures[name]
        rows.append((part, how, name, picture, boxes[int(index), 1:], label))
    return rows


def changed(rng, picture, box):
    """The picture under another light and in an inexact box."""
    gain = np.exp(rng.normal(0, 0.16)) * np.exp(rng.normal(0, 0.05, 3))
    light = 255 * (np.arange(256) / 255) ** np.exp(rng.normal(0, 0.15))
    table = np.clip(light[:, None] * gain, 0, 255).astype(np.uint8)
    out = cv2.merge([cv2.LUT(picture[..., k], table[:, k]) for k in range(3)])
    w, h = box[2] - box[0], box[3] - box[1]
    return out, box + rng.normal(0, 0.05, 4) * (w, h, w, h)


def fitted(x, y, strength: float):
    """Weights [features + 1, colours] of a softmax regression; `y` rows are shares of colours. L2 penalty `strength`."""
    x = torch.cat([torch.tensor(x), torch.ones(len(x), 1)], 1).double()
    y = torch.tensor(y).double()
    scarce = y.sum(0).clamp(min=1) ** -0.5
    weight = (y * scarce).sum(1)
    weight = weight / weight.sum()
    w = torch.zeros(x.shape[1], len(COLOURS), dtype=torch.double, requires_grad=True)
    optimiser = torch.optim.LBFGS([w], max_iter=300, line_search_fn="strong_wolfe")

    def step():
        optimiser.zero_grad()
        loss = -(weight[:, None] * y * torch.log_softmax(x @ w, 1)).sum() + strength * (w[:-1] ** 2).sum()
        loss.backward()
        return loss

    optimiser.step(step)
    return w.detach().numpy()


def told(w, x):
    logits = np.concatenate([x, np.ones((len(x), 1))], 1) @ w
    p = np.exp(logits - logits.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def shares(label: str) -> np.ndarray:
    out = np.zeros(len(COLOURS))
    for k, letter in enumerate(label):
        out[COLOURS.index(letter)] = 1.0 if len(label) == 1 else (0.7, 0.3)[k]
    return out


def site(name: str):
    """A group of pictures that may show one place."""
    folder, file = name.split("/")
    return f"{folder}{int(file[4:8]) // 16}" if folder == "hwy" else folder + file[:4]


def calibrated(p, temperature: float):
    q = np.log(np.maximum(p, 1e-9)) / temperature
    q = np.exp(q - q.max(1, keepdims=True))
    return q / q.sum(1, keepdims=True)


def right(p, labels) -> np.ndarray:
    return np.array([COLOURS[k] in label for k, label in zip(p.argmax(1), labels)])


def judged(p, labels, least: float) -> dict:
    known = np.array([label != "X" for label in labels])
    ok, sure = right(p, labels), p.max(1) >= least
    return {"crops": int(known.sum()), "right": round(float(ok[known].mean()), 3), "told": round(float(sure[known].mean()), 3),
            "right when told": round(float(ok[known & sure].mean()), 3), "confidence when told": round(float(p.max(1)[known & sure].mean()), 3),
            "told of those that a person would not tell": round(float(sure[~known].mean()), 3) if (~known).any() else None}


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--data", type=pathlib.Path, default=pathlib.Path(os.environ.get("WATCHPOST_DATA", "../shared/data")))
    args.add_argument("--strength", type=float, default=5e-5)
    args.add_argument("--least", type=float, default=0.65, help="confidence from which a colour is told")
    args.add_argument("--write", action="store_true")
    args = args.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    rows = crops(args.data)
    fit, test = [r for r in rows if r[0] == "fit" and r[5] != "X"], [r for r in rows if r[0] == "test"]
    rng = np.random.default_rng(3)

    def examples(chosen, copies):
        x, y, of = [], [], []
        for k, (_, _, _, picture, box, label) in enumerate(chosen):
            for c in range(copies + 1):
                shown, where = (picture, box) if c == 0 else changed(rng, picture, box)
                x.append(features(planes(shown), where))
                y.append(shares(label))
                of.append(k)
        return np.array(x), np.array(y), np.array(of)

    x, y, of = examples(fit, 8)
    groups = sorted({site(r[2]) for r in fit})
    order = np.random.default_rng(1).permutation(len(groups))
    fold = {groups[g]: k % 5 for k, g in enumerate(order)}
    folds = np.array([fold[site(r[2])] for r in fit])
    out = np.zeros((len(fit), len(COLOURS)))
    plain = np.concatenate([[True], of[1:] != of[:-1]])
    for k in range(5):
        w = fitted(x[folds[of] != k], y[folds[of] != k], args.strength)
        out[folds == k] = told(w, x[plain][folds == k])
    labels = [r[5] for r in fit]
    marks = right(out, labels)
    best = (np.inf, 1.0)
    for temperature in np.arange(0.6, 2.51, 0.05):
        top = np.clip(calibrated(out, temperature).max(1), 1e-4, 1 - 1e-4)
        best = min(best, (float(-np.mean(np.where(marks, np.log(top), np.log(1 - top)))), float(temperature)))
    temperature = round(best[1], 2)
    print(json.dumps({"by turns on the crops to fit": judged(calibrated(out, temperature), labels, args.least), "temperature": temperature, "log loss": round(best[0], 3)}))

    w = fitted(x, y, args.strength) / temperature
    xt = np.array([features(planes(r[3]), r[4]) for r in test])
    p, labels = told(w, xt), [r[5] for r in test]
    chosen = np.array([r[1] == "random" for r in test])
    print(json.dumps({"set aside": judged(p, labels, args.least)}))
    print(json.dumps({"set aside, random": judged(p[chosen], [label for label, c in zip(labels, chosen) if c], args.least)}))
    for name in ("hwy", "atl"):
        mine = np.array([r[2].startswith(name) for r in test])
        print(json.dumps({"set aside, " + name: judged(p[mine], [label for label, c in zip(labels, mine) if c], args.least)}))
    table = np.zeros((len(COLOURS), len(COLOURS) + 1), int)
    for row, label in zip(p, labels):
        if label != "X":
            k = int(row.argmax())
            true = COLOURS[k] if COLOURS[k] in label else label[0]
            table[COLOURS.index(true), k if row.max() >= args.least else -1] += 1
    print("true \\ told  " + " ".join(f"{n[:6]:>6}" for n in [*NAMES, "none"]))
    for name, row in zip(NAMES, table):
        print(f"{name:<12} " + " ".join(f"{v:6}" for v in row))
    if args.write:
        written(w)


def written(w: np.ndarray):
    """The weights as Rust."""
    lines = ["//! Weights of [`super`]: written by `models/train/colour.py`, which says what they were fitted on.", "",
             "/// A row a colour, in the order of [`Colour::ALL`](crate::domain::Colour::ALL): a weight a feature, then the bias.",
             f"pub(super) const WEIGHTS: [[f32; {w.shape[0]}]; {w.shape[1]}] = ["]
    lines += ["    [" + ", ".join(f"{v:.3f}" for v in column) + "]," for column in w.T]
    WEIGHTS.parent.mkdir(exist_ok=True)
    WEIGHTS.write_text("\n".join([*lines, "];"]) + "\n")


if __name__ == "__main__":
    main()
