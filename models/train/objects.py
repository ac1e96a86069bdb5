"""Vehicles and persons: pictures, training windows, and average precision.

A window is 768 x 512. The one-pass head sees it as it is, the net of its own at half
the size: their grids of 24 x 32 cells are the same, and so are their targets.
"""
import json
import pathlib

import cv2
import numpy as np

import degrade
import sites

CLASSES = ["car", "bus", "truck", "motorbike", "person"]
WINDOW = (768, 512)
STRIDE = 16  # of the grid, in pixels of the window
MOST = 48  # objects in a window
LEAST = 7.0  # an object narrower and lower than this many pixels of the window is neither wanted nor a mistake


class Pictures:
    """Colour pictures with boxes (class, x0, y0, x1, y1): those to train on, or those set aside."""

    def __init__(self, data: pathlib.Path, folders=("hwy", "atl"), held: bool = False):
        listed = dict(reversed(line.split()) for line in sites.LIST.read_text().splitlines())
        self.rows = []
        for row in sites.rows_of(data, folders):
            if folders != ("oi",) and listed.get(row["file"]) != ("held" if held else None):
                continue
            boxes, other = [], []
            for label in row["boxes"]:
                x, y, w, h = label["box"]
                if label["label"] in CLASSES:
                    boxes.append((CLASSES.index(label["label"]), x, y, x + w, y + h))
                else:
                    other.append((-1, x, y, x + w, y + h))
            path = data / "vehicles" / row["file"]
            self.rows.append((row["file"], cv2.imread(str(path)), np.array(boxes + other, np.float32).reshape(-1, 5)))


class Labels:
    """The dense targets of a window."""

    def __init__(self):
        w, h = WINDOW[0] // STRIDE, WINDOW[1] // STRIDE
        self.heat = np.zeros((len(CLASSES), h, w), np.float32)
        self.owner = np.full((h, w), 255, np.uint8)
        self.best = np.zeros((h, w), np.float32)  # of the owner's bump
        self.weight = np.ones((len(CLASSES), h, w), np.float32)
        self.objects = np.zeros((MOST, 5), np.float32)
        self.count = 0

    def cells(self, box):
        x0, y0, x1, y1 = (int(np.floor(v / STRIDE)) for v in box)
        return slice(max(0, y0), max(0, y1 + 1)), slice(max(0, x0), max(0, x1 + 1))

    def add(self, row, whole):
        """An object; `whole` is its box before the window cut it."""
        kind, x0, y0, x1, y1 = row
        h, w = self.owner.shape
        seen = max(0, x1 - x0) * max(0, y1 - y0) / max(1e-3, (whole[2] - whole[0]) * (whole[3] - whole[1]))
        if seen < 0.02:
            return
        if kind < 0 or max(x1 - x0, y1 - y0) < LEAST or seen < 0.3 or self.count == MOST:
            rows, columns = self.cells((x0, y0, x1, y1))
            self.weight[:, rows, columns] = 0
            return
        j, i = min(w - 1, int((x0 + x1) / 2 / STRIDE)), min(h - 1, int((y0 + y1) / 2 / STRIDE))
        sx, sy = (x1 - x0) / STRIDE / 7, (y1 - y0) / STRIDE / 7
        ys, xs = np.mgrid[0:h, 0:w]

        def bump(least):
            return np.exp(-((xs - j) ** 2 / (2 * max(least, sx) ** 2) + (ys - i) ** 2 / (2 * max(least, sy) ** 2))).astype(np.float32)

        near = bump(0.66)  # the cells beside the middle learn the box as well
        mine = (near > 0.3) & (near >= self.best)  # smaller ones come later and win their middle
        self.owner[mine] = self.count
        self.best[mine] = near[mine]
        kind = int(kind)
        self.heat[kind] = np.maximum(self.heat[kind], bump(0.5))
        self.objects[self.count] = (kind, x0, y0, x1, y1)
        self.count += 1


class Windows:
    """Makes training windows: a picture at some scale, or several side by side."""

    def __init__(self, rng: np.random.Generator, data: pathlib.Path, drawn: dict | None = None):
        self.rng = rng
        rows = Pictures(data).rows
        self.parts = {"hwy": [r for r in rows if r[0].startswith("hwy")], "atl": [r for r in rows if r[0].startswith("atl")]}
        for name, more in (drawn or {}).items():
            self.parts[name] = more

    def place(self, grey, row, weight, area, labels, loose):
        """Puts a picture into `area` of the window."""
        rng = self.rng
        name, picture, boxes = row
        ax, ay, aw, ah = area
        ph, pw = picture.shape[:2]
        fit = min(aw / pw, ah / ph)
        if loose:  # from far away to a part of the picture
            scale = fit * float(np.exp(rng.uniform(np.log(0.4), np.log(2.0))))
        else:
            scale = fit * float(np.exp(rng.uniform(np.log(0.9), np.log(1.5))))
        sx, sy = scale * rng.uniform(.85, 1.18), scale
        tx = rng.uniform(min(0, aw - pw * sx), max(0, aw - pw * sx))
        ty = rng.uniform(min(0, ah - ph * sy), max(0, ah - ph * sy))
        mix = np.float32([[0.114, 0.587, 0.299]]) if rng.random() < .7 else rng.dirichlet((2, 2, 2)).astype(np.float32)[None]
        plain = cv2.transform(picture, mix)
        if scale < 0.7:
            f = min(1.0, scale * 1.25)
            plain = cv2.resize(plain, None, fx=f, fy=f, interpolation=cv2.INTER_AREA)
        matrix = np.array([[sx * pw / plain.shape[1], 0, tx], [0, sy * ph / plain.shape[0], ty]], np.float32)
        part = cv2.warpAffine(plain, matrix, (aw, ah), flags=cv2.INTER_LINEAR, borderValue=float(127 if rng.random() < .7 else rng.uniform(0, 255)))
        boxes = boxes.copy()
        boxes[:, [1, 3]] = boxes[:, [1, 3]] * sx + tx
        boxes[:, [2, 4]] = boxes[:, [2, 4]] * sy + ty
        if rng.random() < 0.5:
            part = part[:, ::-1]
            boxes[:, [1, 3]] = aw - boxes[:, [3, 1]]
        grey[ay:ay + ah, ax:ax + aw] = part
        rows, columns = slice(ay // STRIDE, -(-(ay + ah) // STRIDE)), slice(ax // STRIDE, -(-(ax + aw) // STRIDE))
        labels.weight[:, rows, columns] = weight[:, None, None]
        whole = boxes[:, 1:] + np.float32([ax, ay, ax, ay])
        cut = boxes.copy()
        cut[:, [1, 3]] = np.clip(cut[:, [1, 3]], 0, aw) + ax
        cut[:, [2, 4]] = np.clip(cut[:, [2, 4]], 0, ah) + ay
        return cut, whole

    def next(self, d: float):
        rng, labels = self.rng, Labels()
        w, h = WINDOW
        grey = np.full((h, w), 127, np.uint8)
        kinds = list(self.parts)
        share = np.array([{"hwy": .74, "atl": .21, "drawn": .05, "own": .25}[k] for k in kinds])
        layout = rng.random()
        if layout < 0.55:
            areas, loose = [(0, 0, w, h)], True
        elif layout < 0.77:  # four pictures around a random point
            x, y = STRIDE * int(rng.integers(14, 36)), STRIDE * int(rng.integers(9, 24))
            areas, loose = [(0, 0, x, y), (x, 0, w - x, y), (0, y, x, h - y), (x, y, w - x, h - y)], False
        elif layout < 0.95:  # two
            x = STRIDE * int(rng.integers(16, 33))
            areas, loose = [(0, 0, x, h), (x, 0, w - x, h)], False
        else:  # six small ones
            areas, loose = [(x, y, 256, 256) for x in (0, 256, 512) for y in (0, 256)], False
        cuts, wholes = [], []
        for area in areas:
            kind = kinds[int(rng.choice(len(kinds), p=share / share.sum()))]
            row = self.parts[kind][int(rng.integers(len(self.parts[kind])))]
            weight = np.ones(len(CLASSES), np.float32)
            if kind == "atl":
                weight[:] = 0.3
                weight[4] = 0.05  # persons are not labelled there
            if kind == "own":
                weight[:] = 0.1
            cut, whole = self.place(grey, row, weight, area, labels, loose)
            cuts.append(cut)
            wholes.append(whole)
        cuts, wholes = np.concatenate(cuts), np.concatenate(wholes)
        order = np.argsort(-(cuts[:, 3] - cuts[:, 1]) * (cuts[:, 4] - cuts[:, 2]), kind="stable")
        for k in order:
            labels.add(cuts[k], wholes[k])
        labels.weight = np.maximum(labels.weight, (labels.heat > 0.3))
        return degrade.camera(rng, grey, d * float(rng.uniform(0, .6)), 1.0), labels


def iou(a, b) -> np.ndarray:
    """[n, m] of boxes [n, 4] and [m, 4]."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.prod(np.maximum(high - low, 0), 2)
    return both / (np.prod(a[:, 2:] - a[:, :2], 1)[:, None] + np.prod(b[:, 2:] - b[:, :2], 1)[None] - both + 1e-9)


def average_precision(found: list, truths: list, kind: int, at: float = 0.5, least: float = 0.0) -> tuple[float, int]:
    """All-point interpolated AP of a class, and how many objects it has.

    `found`: a picture's (scores, classes, boxes); `truths`: its rows (class, x0, y0, x1, y1), class -1 for what is neither wanted
    nor a mistake. Objects lower and narrower than `least` pixels count as such.
    """
    hits, wanted = [], 0
    for (scores, classes, boxes), rows in zip(found, truths):
        size = np.maximum(rows[:, 3] - rows[:, 1], rows[:, 4] - rows[:, 2])
        mine = (rows[:, 0] == kind) & (size >= least)
        ignored = (rows[:, 0] == -1) | ((rows[:, 0] == kind) & (size < least))
        wanted += int(mine.sum())
        chosen = classes == kind
        order = np.argsort(-scores[chosen], kind="stable")
        flat, marks = boxes[chosen][order], scores[chosen][order]
        over, skip = iou(flat, rows[mine, 1:]), iou(flat, rows[ignored, 1:])
        taken = np.zeros(int(mine.sum()), bool)
        for k in range(len(flat)):
            free = np.where(taken, -1.0, over[k]) if len(taken) else np.zeros(0)
            if len(free) and free.max() >= at:
                taken[int(free.argmax())] = True
                hits.append((marks[k], 1))
            elif not (skip.shape[1] and skip[k].max() >= at):
                hits.append((marks[k], 0))
    if not wanted:
        return float("nan"), 0
    if not hits:
        return 0.0, wanted
    hits.sort(key=lambda hit: -hit[0])
    right = np.cumsum([hit[1] for hit in hits])
    recall, precision = right / wanted, right / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(np.concatenate([[0], recall])) * precision)), wanted


def decode(heat, box, stride: int, score: float = 0.02, nms: float = 0.5, most: int = 100):
    """Peaks of the heat maps as (scores, classes, boxes), boxes in pixels of the net's input; overlap filter by class."""
    scores, classes, boxes = [], [], []
    for kind, layer in enumerate(heat):
        i, j = np.nonzero((layer >= cv2.dilate(layer, np.ones((3, 3), np.uint8))) & (layer > score))
        order = np.argsort(-layer[i, j], kind="stable")[:most]
        i, j = i[order], j[order]
        x, y = (j + .5) * stride, (i + .5) * stride
        l, t, r, b = box[:, i, j]
        flat = np.stack([x - l, y - t, x + r, y + b], 1)
        over, keep = iou(flat, flat), []
        for k in range(len(flat)):
            if all(over[k, m] < nms for m in keep):
                keep.append(k)
        scores.append(layer[i, j][keep])
        boxes.append(flat[keep])
        classes.append(np.full(len(keep), kind))
    return np.concatenate(scores), np.concatenate(classes), np.concatenate(boxes)


def letterbox(grey: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, float, float, float]:
    """A net's input of `size`, the scale, and where the picture begins in it."""
    h, w = grey.shape
    scale = min(size[0] / w, size[1] / h)
    nw, nh = round(w * scale), round(h * scale)
    x, y = (size[0] - nw) // 2, (size[1] - nh) // 2
    out = np.full((size[1], size[0]), 0.5, np.float32)
    while grey.shape[1] >= 2 * nw and min(grey.shape) > 1:  # 2 x 2 averages, then bilinear
        grey = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
    out[y:y + nh, x:x + nw] = cv2.resize(grey, (nw, nh), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
    return out, scale, x, y


def found_in(run, picture, size, stride):
    """What `run` (input to heat and box) finds in a colour or grey picture, in the picture's pixels."""
    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    image, scale, x, y = letterbox(grey, size)
    heat, box = run(image[None, None])
    scores, classes, boxes = decode(heat[0], box[0], stride)
    boxes = (boxes - np.float32([x, y, x, y])) / scale
    h, w = grey.shape
    return scores, classes, np.clip(boxes, 0, np.float32([w, h, w, h]))


def report(run, rows, size, stride) -> dict[str, float]:
    """AP50 a class and their mean."""
    found = [found_in(run, picture, size, stride) for _, picture, _ in rows]
    values = {}
    for kind, name in enumerate(CLASSES):
        value, count = average_precision(found, [boxes for _, _, boxes in rows], kind)
        if count:
            values[name] = round(value, 3)
    return {"mean": round(float(np.mean(list(values.values()))), 3), **values}
