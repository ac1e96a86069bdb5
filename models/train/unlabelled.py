"""What the plate detector itself finds in the vehicle pictures, whose plates nobody labelled.

`unlabelled.py CHECKPOINT OUT.json` looks at every picture at two scales. What lies where a vehicle carries its plate is most
likely one: training ignores it. What lies elsewhere is not (a sheet of the best hundred showed signs, banners, captions,
railings): training shows it again and again as what is no plate. `read` gives both, a picture each.
"""
import argparse
import json
import os
import pathlib

import cv2
import numpy as np
import torch

import scenes
from nets import DetectorNet

PLATE, TRICK = 0.2, 0.25  # heat from which a find counts as either


def overlap(a, b) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    return wide * high / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - wide * high)


def found(net: DetectorNet, grey: np.ndarray, scales=(1.0, 2.0)) -> list[tuple[float, list[float]]]:
    """(heat, box) in pixels of the picture, best first."""
    rows = []
    for scale in scales:
        w, h = round(grey.shape[1] * scale), round(grey.shape[0] * scale)
        canvas = np.full((-(-h // 64) * 64, -(-w // 64) * 64), 127, np.uint8)
        canvas[:h, :w] = cv2.resize(grey, (w, h), interpolation=cv2.INTER_LINEAR)
        with torch.no_grad():
            heat, box, _ = (a[0].numpy() for a in net(torch.from_numpy(canvas)[None, None].float() / 255))
        heat = heat[0]
        peaks = (heat >= cv2.dilate(heat, np.ones((3, 3), np.uint8))) & (heat > min(PLATE, TRICK))
        for i, j in zip(*np.nonzero(peaks)):
            x, y = (j + .5) * 8, (i + .5) * 8
            left, top, right, bottom = box[:, i, j]
            rows.append((float(heat[i, j]), [float(v) / scale for v in (x - left, y - top, x + right, y + bottom)]))
    kept = []
    for row in sorted(rows, key=lambda row: -row[0]):
        if all(overlap(row[1], other[1]) < .3 for other in kept):
            kept.append(row)
    return kept


def on_vehicle(box, vehicles) -> bool:
    """Whether `box` lies where one of the vehicles may carry its plate."""
    cx, cy, wide = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0]
    return any(x <= cx <= x + w and y + .25 * h <= cy <= y + 1.02 * h and wide < .6 * w for x, y, w, h in vehicles)


def read(path: pathlib.Path) -> tuple[list[np.ndarray], list[tuple[int, np.ndarray]]]:
    """Boxes to ignore, an array a picture; and (picture, box) of what looks like a plate and is none."""
    rows = json.loads(path.read_text())
    boxes = [np.array(row["plates"], np.float32).reshape(-1, 4) for row in rows]
    return boxes, [(k, np.array(box, np.float32)) for k, row in enumerate(rows) for box in row["tricks"]]


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("checkpoint", type=pathlib.Path)
    args.add_argument("out", type=pathlib.Path)
    args.add_argument("--data", type=pathlib.Path, default=pathlib.Path(os.environ.get("WATCHPOST_DATA", "../shared/data")))
    args = args.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    net = DetectorNet()
    net.begin(torch.load(args.checkpoint, weights_only=True)["mean"])
    net.eval()
    streets = scenes.Backgrounds(args.data)
    rows = []
    for grey, vehicles in zip(streets.pictures, streets.vehicles):
        row = {"plates": [], "tricks": []}
        for heat, box in found(net, grey):
            place = on_vehicle(box, vehicles)
            if heat >= (PLATE if place else TRICK):
                row["plates" if place else "tricks"].append([round(v, 1) for v in box])
        rows.append(row)
    args.out.write_text(json.dumps(rows))
    print(f"{sum(len(r['plates']) for r in rows)} to ignore, {sum(len(r['tricks']) for r in rows)} that are none, in {len(rows)} pictures")


if __name__ == "__main__":
    main()
