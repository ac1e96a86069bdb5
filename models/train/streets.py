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
import series

WINDOW = (352, 224)
STRIDE = 8
MOST = 4  # plates in a window
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
        weights = {"ro": 0.35, "oi": 1.0, "fl": 1.0}
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


def sign(rng, window):
    """Pastes something that looks a little like a plate: a sign, a banner, a timestamp, a badge, a grille."""
    h, w = window.shape
    kind = rng.integers(6)
    if kind == 4:  # words and numbers on what is there: a shop's front, a badge, a door
        words = series.SLOGANS + series.DEALERS + series.US_NAMES
        text = words[int(rng.integers(len(words)))] if rng.random() < .7 else series.fill(rng, ("DDD-DDDD", "DDDDDDDD", "LLLLLL", "DD")[int(rng.integers(4))])
        tall = float(np.exp(rng.uniform(np.log(5), np.log(40))))
        scenes.print_line(rng, window, text, rng.uniform(-10, w * .7), rng.uniform(0, h), tall, float(rng.choice([rng.uniform(0, 60), rng.uniform(190, 255)])), w * rng.uniform(.2, .8))
        return
    if kind in (0, 5):  # burnt-in text
        text = ["2026-11-22 08:41:07", "CAM 03", "12:05:59 AM", "NORTH GATE", series.fill(rng, "20DD/0D/DD"), series.fill(rng, "20DD-0D-DD DD:DD:DD"), series.fill(rng, "DD:DD:DD")][int(rng.integers(7))]
        scenes.print_line(rng, window, text, rng.uniform(0, w * .5), rng.choice([rng.uniform(5, 25), rng.uniform(h - 25, h - 5)]), rng.uniform(6, 16), float(rng.choice([5, 250])), w * .5)
        return
    sw = rng.uniform(14, 120)
    sh = sw * rng.uniform(0.12, 1.2)
    x, y = rng.uniform(0, w - sw), rng.uniform(0, max(1, h - sh))
    x0, y0, x1, y1 = round(x), round(y), round(x + sw), round(min(h, y + sh))
    shade = float(rng.uniform(0, 255))
    if kind == 1:  # a board with two or more lines, or with one word and much room
        cv2.rectangle(window, (x0, y0), (x1, y1), shade, -1)
        lines = int(rng.integers(2, 5)) if sh > sw * .4 else 1
        for k in range(lines):
            words = (series.SLOGANS + series.DEALERS)[int(rng.integers(40))]
            scenes.print_line(rng, window, words, x0 + 2, y + sh * (k + .5) / lines, sh / lines * rng.uniform(.3, .6), float(255 - shade if abs(shade - 128) > 50 else 250), sw * rng.uniform(.5, .9))
    elif kind == 2:  # stripes
        for k in np.arange(y0, y1, max(2, int(rng.integers(2, 7)))):
            cv2.line(window, (x0, int(k)), (x1, int(k)), shade, 1)
    else:  # a bare panel or lamp
        cv2.rectangle(window, (x0, y0), (x1, y1), shade, -1, cv2.LINE_AA)
        cv2.rectangle(window, (x0, y0), (x1, y1), float(rng.uniform(0, 255)), 1, cv2.LINE_AA)


def paste(rng, window, plate, backgrounds, centre, wide, d):
    """Warps a plate into the window; returns its corners there."""
    canvas, corners = scenes.mounted(rng, plate, backgrounds, d, around=0.25)
    aspect = plate.rgb.shape[1] / plate.rgb.shape[0]
    quad = (scenes.tilt(rng, wide, wide / aspect, d) + np.float32(centre)).astype(np.float32)
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

    def __init__(self):
        w, h = WINDOW[0] // STRIDE, WINDOW[1] // STRIDE
        self.heat = np.zeros((h, w), np.float32)
        self.owner = np.full((h, w), 255, np.uint8)
        self.weight = np.ones((h, w), np.float32)
        self.plates = np.zeros((MOST, 13), np.float32)  # x0 y0 x1 y1, corners, has corners
        self.count = 0

    def ignore(self, box, weight):
        x0, y0, x1, y1 = (int(np.floor(v / STRIDE)) for v in box)
        self.weight[max(0, y0):max(0, y1 + 1), max(0, x0):max(0, x1 + 1)] = weight

    def add(self, box, corners=None):
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
        self.plates[self.count, :4] = box
        if corners is not None:
            self.plates[self.count, 4:12] = corners.reshape(-1)
            self.plates[self.count, 12] = 1
        self.count += 1


class Windows:
    """Makes training windows."""

    def __init__(self, rng: np.random.Generator, data: pathlib.Path, validation: bool = False):
        self.rng = rng
        self.backgrounds = scenes.Backgrounds(data)
        self.real = RealPlates(data, validation)
        self.frames = video_frames(data)
        self.pool = [plates.render(rng) for _ in range(200)]

    def cut(self, grey, boxes, around=None):
        """A window of random scale and place out of a picture; boxes move along."""
        rng = self.rng
        w, h = WINDOW
        if around is not None:  # so that a chosen plate gets a wanted width
            x0, y0, x1, y1 = around
            scale = float(np.exp(rng.uniform(np.log(18), np.log(300)))) / max(x1 - x0, 1)
            scale = float(np.clip(scale, 0.25, 4.0))
        else:
            scale = float(np.exp(rng.uniform(np.log(0.5), np.log(2.2)))) * max(w / grey.shape[1], h / grey.shape[0])
        sx = scale * rng.uniform(.85, 1.2)
        matrix = np.array([[sx, 0, 0], [0, scale, 0]], np.float32)
        if around is not None:
            matrix[:, 2] = rng.uniform(.1, .9) * w - (x0 + x1) / 2 * sx, rng.uniform(.1, .9) * h - (y0 + y1) / 2 * scale
        else:
            matrix[:, 2] = rng.uniform(min(0, w - grey.shape[1] * sx), max(0, w - grey.shape[1] * sx)), rng.uniform(min(0, h - grey.shape[0] * scale), max(0, h - grey.shape[0] * scale))
        if scale < 0.7 and rng.random() < .7:
            f = scale * 1.3
            small = cv2.resize(grey, None, fx=f, fy=f, interpolation=cv2.INTER_AREA)
            shrunk = matrix.copy()
            shrunk[0, 0] *= grey.shape[1] / small.shape[1]
            shrunk[1, 1] *= grey.shape[0] / small.shape[0]
            window = cv2.warpAffine(small, shrunk, WINDOW, borderValue=127.0)
        else:
            window = cv2.warpAffine(grey, matrix, WINDOW, borderValue=127.0)
        boxes = boxes * np.array([sx, scale, sx, scale], np.float32) + np.tile(matrix[:, 2], 2)
        if rng.random() < 0.5 and around is None:
            window = np.ascontiguousarray(window[:, ::-1])
            boxes = boxes[:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1], np.float32) + np.array([w, 0, w, 0], np.float32)
        return window, boxes

    def next(self, d: float) -> tuple[np.ndarray, Labels]:
        rng, labels = self.rng, Labels()
        d = float(d * rng.uniform(0.2, 1.0))
        w, h = WINDOW
        source = rng.random()
        if source < 0.33:
            folder, grey, boxes = self.real.pick(rng)
            around = boxes[int(rng.integers(len(boxes)))] if len(boxes) and rng.random() < .85 else None
            window, boxes = self.cut(grey, boxes, around)
            if folder == "ro":
                labels.weight[:] = 0.3
            for box in boxes:
                if box[2] - box[0] > 10:
                    labels.add(box)
                elif box[2] > 0 and box[0] < w:
                    labels.ignore(box, 0)
            spots = []
        elif source < 0.9:
            k = int(rng.integers(len(self.backgrounds.pictures)))
            boxes = np.array([(x, y, x + bw, y + bh) for x, y, bw, bh in self.backgrounds.vehicles[k]], np.float32).reshape(-1, 4)
            window, spots = self.cut(self.backgrounds.pictures[k], boxes)
            for box in spots:
                labels.ignore(box, 0.3)
        else:
            window, spots = self.cut(self.frames[int(rng.integers(len(self.frames)))], np.zeros((0, 4), np.float32))
        if rng.random() < 0.55:
            for _ in range(int(rng.integers(1, 5))):
                if labels.count == 0:
                    sign(rng, window)
        if source >= 0.33 or labels.count == 0:
            self.paste_some(window, labels, spots, d)
        return degrade.camera(rng, window, d * .8, 1.2), labels

    def paste_some(self, window, labels, spots, d):
        """0 to 3 drawn plates, on vehicles where there are some."""
        rng = self.rng
        w, h = WINDOW
        taken = []
        for _ in range(int(rng.choice(4, p=[.22, .58, .14, .06]))):
            k = int(rng.integers(len(self.pool)))
            if rng.random() < 0.3:
                self.pool[k] = plates.render(rng)
            wide = float(np.exp(rng.uniform(np.log(18), np.log(330))))
            centre = (rng.uniform(0, w), rng.uniform(0, h))
            if len(spots) and rng.random() < 0.7:
                x0, y0, x1, y1 = spots[int(rng.integers(len(spots)))]
                if x1 - x0 > 40:
                    wide = float(np.clip((x1 - x0) * rng.uniform(.15, .4), 18, 330))
                    centre = ((x0 + x1) / 2 + rng.normal() * (x1 - x0) * .12, y0 + (y1 - y0) * rng.uniform(.45, .9))
            if not (0 <= centre[0] < w and 0 <= centre[1] < h) or any(abs(centre[0] - x) < (wide + o) * .6 and abs(centre[1] - y) < (wide + o) * .35 for x, y, o in taken):
                continue
            taken.append((*centre, wide))
            quad = paste(rng, window, self.pool[k], self.backgrounds, centre, wide, d)
            (x0, y0), (x1, y1) = quad.min(0), quad.max(0)
            inside = (min(x1, w) - max(x0, 0)) * (min(y1, h) - max(y0, 0)) / max((x1 - x0) * (y1 - y0), 1)
            if inside < 0.6:
                labels.ignore((x0, y0, x1, y1), 0)
            else:
                labels.add((x0, y0, x1, y1), quad)
