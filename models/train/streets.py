"""The detector's training windows: street pictures with drawn plates pasted in, and real labelled pictures.

A window is a part of what the detector sees, at the detector's own scale; the net is convolutional, so windows teach it as
well as whole pictures and cost less. Pasted plates have corners, real boxes have none (`Labels.plates` marks them). Signs,
timestamps, badges and grilles are pasted too: what looks like a plate and is none.
"""
import json
import pathlib

import cv2
import numpy as np

import degrade
import plates
import scenes
import tricks
import unlabelled

WINDOW = (288, 192)
WHOLE = (640, 384)
STRIDE = 8
MOST = 4  # plates in a window
TWO_LINES = 0.12  # of the drawn plates
NARROWEST = 11  # pixels; a plate below that is ignored
TIGHT = {"oi": 1.0, "ro": 0.3, "fl": 0.0}  # how far a folder's boxes are believed: those of `fl` hold the plate's surroundings too
HELD_OUT = 6  # every so many-th group of real pictures is kept for validation


class RealPlates:
    """Grey pictures with plate boxes whose licence allows training, split by group into training and validation."""

    def __init__(self, data: pathlib.Path, validation: bool):
        self.rows = []
        for line in (data / "train-plates" / "labels.jsonl").read_text().splitlines():
            row = json.loads(line)
            folder, name = row["file"].split("/", 1)
            if folder not in ("ro", "oi", "fl"):
                continue
            held = "type1_003" in name if folder == "ro" else sum(map(ord, name)) % HELD_OUT == 0  # ro: by ride
            if held != validation:
                continue
            grey = cv2.imread(str(data / "train-plates" / row["file"]), cv2.IMREAD_GRAYSCALE)
            boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in row["boxes"]], np.float32).reshape(-1, 4)
            self.rows.append((folder, grey, boxes))
        weights = {"ro": 0.35, "oi": 1.0, "fl": 0.5}
        share = np.array([weights[folder] for folder, _, _ in self.rows])
        self.share = share / share.sum()

    def pick(self, rng):
        return self.rows[int(rng.choice(len(self.rows), p=self.share))]


def video_frames(data: pathlib.Path, every: int = 40) -> list[np.ndarray]:
    """Grey frames of the two clips in which no plate can be read."""
    frames = []
    for name in ("street-ahmetozlu.mp4", "intel-car-detection.mp4"):
        capture, at = cv2.VideoCapture(str(data / "videos" / name)), 0
        while capture.grab():
            if at % every == 0:
                ok, frame = capture.retrieve()
                if ok:
                    frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))
            at += 1
    return frames


def paste(rng, window, plate, backgrounds, centre, wide, d):
    """Warps a plate into the window; returns its corners there."""
    canvas, corners = scenes.mounted(rng, plate, backgrounds, d, around=0.25)
    aspect = plate.rgb.shape[1] / plate.rgb.shape[0]
    steep = 2.2 if rng.random() < 0.15 else d  # up to 50 degrees
    quad = (scenes.tilt(rng, wide, wide / aspect, steep) + np.float32(centre)).astype(np.float32)
    rim = scenes.widened(corners, (rng.uniform(0.0, .03), rng.uniform(0.0, .15)))
    mask = np.zeros(canvas.shape, np.uint8)
    cv2.fillConvexPoly(mask, np.round(rim).astype(np.int32), 255)
    if wide > 40 and rng.random() < 0.5:
        mask = cv2.GaussianBlur(mask, (0, 0), canvas.shape[0] * .01 + .5)
    under = float(window[max(0, int(centre[1]) - 20):int(centre[1]) + 20, max(0, int(centre[0]) - 20):int(centre[0]) + 20].mean())
    gain = np.clip((under + 60) / 160, 0.45, 1.1) * rng.uniform(0.7, 1.25)
    canvas = cv2.convertScaleAbs(canvas, alpha=float(gain), beta=0)
    size = (window.shape[1], window.shape[0])
    if rng.random() < 0.7:
        layer, alpha = scenes.shrunk(canvas, corners, quad, size), scenes.shrunk(mask, corners, quad, size)
    else:  # as a plain bilinear resize shrinks: with aliasing
        matrix = cv2.getPerspectiveTransform(corners, quad)
        layer, alpha = cv2.warpPerspective(canvas, matrix, size), cv2.warpPerspective(mask, matrix, size)
    alpha = alpha.astype(np.float32) / 255
    window[:] = (window + (layer.astype(np.float32) - window) * alpha).astype(np.uint8)
    return quad


class Labels:
    """What a window holds, and the dense targets at stride 8."""

    def __init__(self, size=WINDOW):
        w, h = size[0] // STRIDE, size[1] // STRIDE
        self.heat = np.zeros((h, w), np.float32)
        self.owner = np.full((h, w), 255, np.uint8)
        self.weight = np.ones((h, w), np.float32)
        self.plates = np.zeros((MOST, 14), np.float32)  # x0 y0 x1 y1, corners, has corners, how far the box is believed
        self.count = 0

    def ignore(self, box, weight):
        x0, y0, x1, y1 = (int(np.floor(v / STRIDE)) for v in box)
        self.weight[max(0, y0):max(0, y1 + 1), max(0, x0):max(0, x1 + 1)] = weight

    def add(self, box, corners=None, tight=1.0):
        """A plate whose centre lies in the window."""
        x0, y0, x1, y1 = box
        cx, cy = (x0 + x1) / 2 / STRIDE - .5, (y0 + y1) / 2 / STRIDE - .5
        h, w = self.heat.shape
        i, j = round(cy), round(cx)
        if self.count == MOST or not (0 <= i < h and 0 <= j < w):
            self.ignore(box, 0)
            return
        sx, sy = max(0.6, (x1 - x0) / STRIDE / 7), max(0.6, (y1 - y0) / STRIDE / 7)
        ys, xs = np.mgrid[0:h, 0:w]
        bump = np.exp(-((xs - j) ** 2 / (2 * sx * sx) + (ys - i) ** 2 / (2 * sy * sy))).astype(np.float32)
        mine = (bump > self.heat) & (bump > 0.3)
        self.owner[mine] = self.count
        self.heat = np.maximum(self.heat, bump)
        self.plates[self.count, :4], self.plates[self.count, 13] = box, tight
        if corners is not None:
            self.plates[self.count, 4:12] = corners.reshape(-1)
            self.plates[self.count, 12] = 1
        self.count += 1


def wanted_width(rng, w: int) -> float:
    """How wide a plate shall be in a window of width `w`: many small ones, some over most of it."""
    kind = rng.random()
    if kind < 0.3:
        return float(np.exp(rng.uniform(np.log(NARROWEST), np.log(34))))
    if kind < 0.85:
        return float(np.exp(rng.uniform(np.log(22), np.log(w * .6))))
    return float(rng.uniform(w * .35, w * .82))


class Windows:
    """Makes training windows of `size`."""

    def __init__(self, rng: np.random.Generator, data: pathlib.Path, validation: bool = False, size=WINDOW, seen: pathlib.Path | None = None):
        self.rng, self.size = rng, size
        self.backgrounds = scenes.Backgrounds(data)
        self.real = RealPlates(data, validation)
        self.frames = video_frames(data)
        self.pool = [self.drawn() for _ in range(200)]
        nothing = [np.zeros((0, 4), np.float32)] * len(self.backgrounds.pictures)
        self.unlabelled, self.tricks = unlabelled.read(seen) if seen else (nothing, [])

    def drawn(self) -> plates.Plate:
        return plates.render(self.rng, two_lines=bool(self.rng.random() < TWO_LINES))

    def cut(self, grey, boxes, size, around=None, mirror=True):
        """A part of random scale and place out of a picture, of `size`; boxes move along."""
        rng = self.rng
        w, h = size
        if around is not None:  # so that a chosen thing gets a wanted width
            x0, y0, x1, y1 = around
            scale = float(np.clip(wanted_width(rng, w) / max(x1 - x0, 1), 0.25, 4.0))
        else:
            scale = float(np.exp(rng.uniform(np.log(0.7), np.log(2.2)))) * max(w / grey.shape[1], h / grey.shape[0])
        sx = scale * rng.uniform(.85, 1.2)
        matrix = np.array([[sx, 0, 0], [0, scale, 0]], np.float32)
        if around is not None:
            edge = np.clip([(x1 - x0) * sx / w * .5, (y1 - y0) * scale / h * .5], .1, .5)
            matrix[:, 2] = rng.uniform(edge[0], 1 - edge[0]) * w - (x0 + x1) / 2 * sx, rng.uniform(edge[1], 1 - edge[1]) * h - (y0 + y1) / 2 * scale
        else:
            matrix[:, 2] = rng.uniform(min(0, w - grey.shape[1] * sx), max(0, w - grey.shape[1] * sx)), rng.uniform(min(0, h - grey.shape[0] * scale), max(0, h - grey.shape[0] * scale))
        if scale < 0.7 and rng.random() < .7:
            f = scale * 1.3
            small = cv2.resize(grey, None, fx=f, fy=f, interpolation=cv2.INTER_AREA)
            shrunk = matrix.copy()
            shrunk[0, 0] *= grey.shape[1] / small.shape[1]
            shrunk[1, 1] *= grey.shape[0] / small.shape[0]
            window = cv2.warpAffine(small, shrunk, (w, h), borderValue=127.0)
        else:
            window = cv2.warpAffine(grey, matrix, (w, h), borderValue=127.0)
        boxes = boxes * np.array([sx, scale, sx, scale], np.float32) + np.tile(matrix[:, 2], 2)
        if mirror and rng.random() < 0.5:
            window = np.ascontiguousarray(window[:, ::-1])
            boxes = boxes[:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1], np.float32) + np.array([w, 0, w, 0], np.float32)
        return window, boxes

    def street(self, size, around=None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A part of a vehicle picture, its vehicles, and what may be unlabelled plates. `around` is a (picture, box)."""
        k = int(self.rng.integers(len(self.backgrounds.pictures))) if around is None else around[0]
        vehicles = np.array([(x, y, x + bw, y + bh) for x, y, bw, bh in self.backgrounds.vehicles[k]], np.float32).reshape(-1, 4)
        window, boxes = self.cut(self.backgrounds.pictures[k], np.concatenate([vehicles, self.unlabelled[k]]), size, None if around is None else around[1])
        return window, boxes[:len(vehicles)], boxes[len(vehicles):]

    def quilt(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Four street pictures side by side: the pictures are small, and one alone would be blown up."""
        w, h = self.size[0] // 2, self.size[1] // 2
        window, spots, maybe = np.empty(self.size[::-1], np.uint8), [], []
        for x, y in ((0, 0), (w, 0), (0, h), (w, h)):
            window[y:y + h, x:x + w], *boxes = self.street((w, h))
            for mine, all_boxes in zip(boxes, (spots, maybe)):
                all_boxes.append(np.clip(mine, 0, np.tile((w, h), 2)) + np.tile((x, y), 2))
        return window, np.concatenate(spots), np.concatenate(maybe)

    def real_plates(self, labels) -> np.ndarray:
        """A real picture with labelled plates."""
        rng = self.rng
        folder, grey, boxes = self.real.pick(rng)
        around = boxes[int(rng.integers(len(boxes)))] if len(boxes) and rng.random() < .85 else None
        window, boxes = self.cut(grey, boxes, self.size, around, mirror=around is None)
        if folder == "ro":
            labels.weight[:] = 0.3
        for box in boxes:
            if box[2] - box[0] > NARROWEST:
                labels.add(box, tight=TIGHT[folder])
            elif box[2] > 0 and box[0] < self.size[0]:
                labels.ignore(box, 0)
        return window

    def next(self, d: float) -> tuple[np.ndarray, Labels]:
        rng, labels = self.rng, Labels(self.size)
        d = float(d * rng.uniform(0.2, 1.0))
        source, spots, maybe = rng.random(), [], []
        if source < 0.33:
            window = self.real_plates(labels)
        elif source < 0.45 and self.tricks:
            window, spots, maybe = self.street(self.size, self.tricks[int(rng.integers(len(self.tricks)))])
        elif source < 0.92:
            quilted = 0.5 if self.size[0] > WINDOW[0] else 0.15
            window, spots, maybe = self.quilt() if rng.random() < quilted else self.street(self.size)
        else:
            window, _ = self.cut(self.frames[int(rng.integers(len(self.frames)))], np.zeros((0, 4), np.float32), self.size)
        for box in spots:
            labels.ignore(box, 0.6 if self.tricks else 0.3)
        for box in maybe:
            labels.ignore(box, 0)
        if rng.random() < 0.6 and labels.count == 0:
            for _ in range(int(rng.integers(1, 5))):
                tricks.sign(rng, window)
        if source >= 0.33 or labels.count == 0:
            self.paste_some(window, labels, spots, d)
        return degrade.camera(rng, window, d * .8, 1.2), labels

    def paste_some(self, window, labels, spots, d):
        """0 to 3 drawn plates, on vehicles where there are some."""
        rng = self.rng
        w, h = self.size
        taken = []
        for _ in range(int(rng.choice(4, p=[.2, .5, .2, .1]))):
            k = int(rng.integers(len(self.pool)))
            if rng.random() < 0.3:
                self.pool[k] = self.drawn()
            aspect = self.pool[k].rgb.shape[1] / self.pool[k].rgb.shape[0]
            wide = min(wanted_width(rng, w), .85 * h * aspect)
            centre = (rng.uniform(0, w), rng.uniform(0, h)) if wide < w * .4 else (rng.uniform(.3, .7) * w, rng.uniform(.3, .7) * h)
            if len(spots) and rng.random() < 0.6:
                x0, y0, x1, y1 = spots[int(rng.integers(len(spots)))]
                if x1 - x0 > 40:
                    wide = float(np.clip((x1 - x0) * rng.uniform(.12, .4), NARROWEST, .8 * w))
                    centre = ((x0 + x1) / 2 + rng.normal() * (x1 - x0) * .12, y0 + (y1 - y0) * rng.uniform(.45, .9))
            if not (0 <= centre[0] < w and 0 <= centre[1] < h) or any(abs(centre[0] - x) < (wide + o) * .6 and abs(centre[1] - y) < (wide + o) * .35 for x, y, o in taken):
                continue
            taken.append((*centre, wide))
            quad = paste(rng, window, self.pool[k], self.backgrounds, centre, wide, d)
            (x0, y0), (x1, y1) = quad.min(0), quad.max(0)
            inside = (min(x1, w) - max(x0, 0)) * (min(y1, h) - max(y0, 0)) / max((x1 - x0) * (y1 - y0), 1)
            if inside < 0.6 or x1 - x0 < NARROWEST - 3:
                labels.ignore((x0, y0, x1, y1), 0)
            else:
                labels.add((x0, y0, x1, y1), quad)
