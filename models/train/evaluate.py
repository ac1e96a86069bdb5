"""Reads whole pictures with the exported models, as the box does: the reference to compare the box with.

    evaluate.py PICTURES OUT.jsonl [--detector model.onnx] [--reader model.onnx] [--sheet FOLDER]

Luma, letterbox, detector, peaks of the heat map, overlap filter, crop rectified by the corners (by the box where the
corners make no sense), reader, prefix beam search. OUT has one object a picture: file, reads of plate, confidence,
box (0..1) and candidates. `--sheet` writes the crops with their reads, worst first, into a folder outside the
repository. `--crops` reads pictures that are plate crops already, without the detector.
"""
import argparse
import json
import pathlib
import time

import cv2
import numpy as np
import onnxruntime

import lean
import scenes
import train_corners
from nets import ALPHABET

MODELS = pathlib.Path(__file__).resolve().parent.parent
STRIDE = 8


def session(path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def size_of(detector) -> tuple[int, int]:
    """Width and height of a detector's input, whose pixels may be folded (`lean.py`)."""
    shape = detector.get_inputs()[0].shape
    return (shape[2] * lean.BLOCK[0], shape[1] * lean.BLOCK[1]) if shape[1] > 3 else (shape[3], shape[2])


def fed(detector, image: np.ndarray) -> dict:
    """A letterboxed picture of 0..1 as the detector takes it."""
    first = detector.get_inputs()[0]
    return {first.name: lean.folded(image) if first.type == "tensor(uint8)" else image[None, None]}


def letterbox(grey: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, float, tuple[float, float]]:
    """The detector's input of `size`, its scale and the offset of the picture in it."""
    h, w = grey.shape
    scale = min(size[0] / w, size[1] / h)
    nw, nh = round(w * scale), round(h * scale)
    x, y = (size[0] - nw) // 2, (size[1] - nh) // 2
    out = np.full((size[1], size[0]), 0.5, np.float32)
    while grey.shape[1] >= 2 * nw:  # 2 x 2 averages, then bilinear
        grey = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
    out[y:y + nh, x:x + nw] = cv2.resize(grey, (nw, nh), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
    return out, scale, (x, y)


def overlap(a, b) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    return wide * high / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - wide * high)


def usable(quad: np.ndarray, box: np.ndarray) -> bool:
    """Whether the corners are convex, in order, and agree with the box."""
    sides = np.roll(quad, -1, 0) - quad
    turn = sides[:, 0] * np.roll(sides, -1, 0)[:, 1] - sides[:, 1] * np.roll(sides, -1, 0)[:, 0]
    return bool((turn > 0).all()) and overlap((*quad.min(0), *quad.max(0)), box) > 0.5


def find(detector, grey, score=0.3, most=20) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """Plates as (score, box, corners) in pixels of the picture, best first."""
    image, scale, (ox, oy) = letterbox(grey, size_of(detector))
    heat, box, corners = (a[0] for a in detector.run(None, fed(detector, image)))
    heat = heat[0]
    peaks = (heat >= cv2.dilate(heat, np.ones((3, 3), np.uint8))) & (heat > score)
    found = []
    for i, j in sorted(zip(*np.nonzero(peaks)), key=lambda at: -heat[at])[:most * 3]:
        x, y = (j + 0.5) * STRIDE, (i + 0.5) * STRIDE
        l, t, r, b = box[:, i, j]
        flat = (np.array([x - l, y - t, x + r, y + b]) - np.tile((ox, oy), 2)) / scale
        if all(overlap(flat, other[1]) < 0.3 for other in found):
            quad = ((corners[:, i, j].reshape(4, 2) + (x, y) - (ox, oy)) / scale).astype(np.float32)
            found.append((float(heat[i, j]), flat, quad))
    return found[:most]


def crop(grey, box, quad) -> np.ndarray:
    """The reader's input for one plate."""
    if not usable(quad, box):
        x0, y0, x1, y1 = box
        quad = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float32)
    x0, y0 = np.floor(np.maximum(quad.min(0) - 0.3 * np.ptp(quad, 0) - 4, 0)).astype(int)
    x1, y1 = np.ceil(quad.max(0) + 0.3 * np.ptp(quad, 0) + 4).astype(int)
    part, quad = grey[y0:y1, x0:x1], (quad - (x0, y0)).astype(np.float32)
    while np.linalg.norm(quad[3] - quad[0]) > 2 * scenes.READER_SIZE[1] and min(part.shape) > 3:
        part = cv2.resize(part, (part.shape[1] // 2, part.shape[0] // 2), interpolation=cv2.INTER_AREA)
        quad = quad / 2
    return scenes.rectified(part, quad)


def corrected(net: onnxruntime.InferenceSession, grey, box, quad) -> np.ndarray:
    """The plate's corners where the net for corners sees them."""
    if not usable(quad, box):
        x0, y0, x1, y1 = box
        quad = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float32)
    quad = np.asarray(quad, np.float32)
    shown = scenes.rectified(grey, quad, train_corners.SIZE, train_corners.MARGIN)
    told = net.run(None, {"plate": shown[None, None].astype(np.float32) / 255})[0].reshape(1, 4, 2)
    unit = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float32)
    return cv2.perspectiveTransform(told, cv2.getPerspectiveTransform(unit, scenes.widened(quad, train_corners.MARGIN)))[0]


def beam(probs: np.ndarray, width: int = 8) -> list[tuple[str, float]]:
    """Prefix beam search over [T, 37]; texts with their probability, best first."""
    beams = {"": (1.0, 0.0)}  # text: ending in a blank, ending in its last character
    for row in probs:
        after: dict[str, tuple[float, float]] = {}

        def put(text, blank, char):
            b, c = after.get(text, (0.0, 0.0))
            after[text] = (b + blank, c + char)

        keep = [k for k in np.argsort(-row[1:])[:5] + 1 if row[k] > 1e-3]
        for text, (blank, char) in beams.items():
            put(text, (blank + char) * row[0], 0.0)
            for k in keep:
                new = ALPHABET[k - 1]
                if text.endswith(new):
                    put(text, 0.0, char * row[k])
                    put(text + new, 0.0, blank * row[k])
                else:
                    put(text + new, 0.0, (blank + char) * row[k])
        beams = dict(sorted(after.items(), key=lambda item: -sum(item[1]))[:width])
    return [(text, float(sum(p))) for text, p in beams.items()]


class Box:
    """Detector and reader together, with the CPU time that each took."""

    def __init__(self, detector, reader, corners=None):
        self.detector, self.reader = session(detector), session(reader)
        self.corners = session(corners) if corners else None
        self.cpu = {"detect": 0.0, "read": 0.0}

    def read_crops(self, crops: list[np.ndarray]) -> list[list[tuple[str, float]]]:
        begun = time.process_time()
        probs = self.reader.run(None, {"plate": np.stack(crops)[:, None].astype(np.float32) / 255})[0] if crops else []
        self.cpu["read"] += time.process_time() - begun
        return [beam(p) for p in probs]

    def read(self, grey, score, least):
        """Reads of a picture as rows of the output, and the crops they came from; too short and too unsure ones are left out."""
        begun = time.process_time()
        plates = find(self.detector, grey, score)
        self.cpu["detect"] += time.process_time() - begun
        if self.corners:
            plates = [(seen, box, corrected(self.corners, grey, box, quad)) for seen, box, quad in plates]
        crops = [crop(grey, box, quad) for _, box, quad in plates]
        h, w = grey.shape
        rows, kept = [], []
        for (seen, box, quad), cut, texts in zip(plates, crops, self.read_crops(crops)):
            if len(texts[0][0]) < 3 or texts[0][1] < least:
                continue
            kept.append(cut)
            rows.append({"plate": texts[0][0], "confidence": round(texts[0][1], 4), "score": round(seen, 3), "box": [round(float(v / s), 5) for v, s in zip(box, (w, h, w, h))], "corners": [round(float(v), 5) for v in (np.asarray(quad) / (w, h)).reshape(8)],
                         "candidates": [[t, round(p, 4)] for t, p in texts[:3] if t]})
        return rows, kept


def sheet(tiles: list[np.ndarray], path: pathlib.Path, columns: int = 7):
    """Tiles of one size as one picture."""
    tiles = tiles + [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    cv2.imwrite(str(path), np.vstack([np.hstack(tiles[k:k + columns]) for k in range(0, len(tiles), columns)]))


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("pictures", type=pathlib.Path, help="a folder with labels.jsonl")
    args.add_argument("out", type=pathlib.Path)
    args.add_argument("--detector", type=pathlib.Path, default=MODELS / "plates-1" / "model.onnx")
    args.add_argument("--reader", type=pathlib.Path, default=MODELS / "reader-1" / "model.onnx")
    args.add_argument("--corners", type=pathlib.Path, default=MODELS / "corners-1" / "model.onnx")
    args.add_argument("--score", type=float, default=0.3)
    args.add_argument("--least", type=float, default=0.05, help="reads of a lower confidence are dropped")
    args.add_argument("--prefix", default="", help="only files that begin so")
    args.add_argument("--crops", action="store_true")
    args.add_argument("--sheet", type=pathlib.Path)
    args = args.parse_args()
    cv2.setNumThreads(1)
    box, count, tiles = Box(args.detector, args.reader, args.corners), 0, {}
    with args.out.open("w") as out:
        for line in (args.pictures / "labels.jsonl").read_text().splitlines():
            row = json.loads(line)
            if not row["file"].startswith(args.prefix):
                continue
            grey = cv2.imread(str(args.pictures / row["file"]), cv2.IMREAD_GRAYSCALE)
            if args.crops:
                crops = [cv2.resize(grey, scenes.READER_SIZE, interpolation=cv2.INTER_AREA)]
                texts = box.read_crops(crops)[0]
                reads = [{"plate": texts[0][0], "confidence": texts[0][1], "box": [0, 0, 1, 1], "candidates": texts[:3]}]
            else:
                reads, crops = box.read(grey, args.score, args.least)
            count += 1
            out.write(json.dumps({"file": row["file"], "reads": reads}) + "\n")
            truth = row.get("text", "").replace("O", "0")
            if args.sheet and truth and truth not in [r["plate"].replace("O", "0") for r in reads]:
                tile = np.zeros((66, 200), np.uint8)
                if crops:
                    tile[:48, :160] = crops[0]
                cv2.putText(tile, f"{row['text']}/{reads[0]['plate'] if reads else 'none'} {len(reads)}", (2, 62), 0, .4, 255, 1)
                tiles.setdefault(row["file"].split("/")[0], []).append(tile)
    for name, region in tiles.items():
        args.sheet.mkdir(parents=True, exist_ok=True)
        sheet(region, args.sheet / f"{name}.png")
    print({stage: f"{1000 * spent / max(count, 1):.1f} ms CPU a picture" for stage, spent in box.cpu.items()}, count)


if __name__ == "__main__":
    main()
