"""AP50 of an exported object detector: `evaluate_objects.py model.onnx`.

On the pictures that `objects-held.txt` sets aside (all, and street stills and traffic cameras apart), and on `vehicles/oi`, which
nothing is trained on: other countries, but only one main class of a picture labelled, so its number is no more than a hint.
All-point interpolation, IoU 0.5. Last, how often the class of a near vehicle is right, by score. `--sheet` draws some of them into a folder outside the repository; `--times` also measures.
"""
import argparse
import json
import os
import pathlib
import time

import cv2
import numpy as np

import objects
from evaluate import fed, session, sheet, size_of

COLOURS = [(0, 255, 0), (255, 0, 0), (0, 255, 255), (255, 0, 255), (0, 0, 255)]


class Net:
    """An exported model with an object head: of its own, or beside a plate head."""

    def __init__(self, path):
        self.session = session(path)
        names = [out.name for out in self.session.get_outputs()]
        self.names = ["object_heat", "object_box"] if "object_heat" in names else ["heat", "box"]
        self.size = size_of(self.session)
        heat = self.run(np.zeros((1, 1, *self.size[::-1]), np.float32))[0]
        self.stride = self.size[0] // heat.shape[3]

    def run(self, image):
        return self.session.run(self.names, fed(self.session, image[0, 0]))


def outside(net, rows) -> dict:
    """AP50 on `oi`: over all pictures, where what is right and not labelled counts as wrong, and over those that have the class."""
    found = [objects.found_in(net.run, picture, net.size, net.stride) for _, picture, _ in rows]
    truths = [boxes for _, _, boxes in rows]
    whole, own = {}, {}
    for kind, name in enumerate(objects.CLASSES):
        value, count = objects.average_precision(found, truths, kind)
        if not count:
            continue
        whole[name] = round(value, 3)
        mine = [k for k, boxes in enumerate(truths) if (boxes[:, 0] == kind).any()]
        own[name] = round(objects.average_precision([found[k] for k in mine], [truths[k] for k in mine], kind)[0], 3)
    return {name: {"mean": round(float(np.mean(list(values.values()))), 3), **values} for name, values in (("all pictures", whole), ("pictures with that class", own))}


def drawn_on(net, row, least: float):
    name, picture, boxes = row
    image = picture.copy()
    for kind, x0, y0, x1, y1 in boxes:
        cv2.rectangle(image, (int(x0), int(y0)), (int(x1), int(y1)), (255, 255, 255), 1)
    for score, kind, box in zip(*objects.found_in(net.run, picture, net.size, net.stride)):
        if score >= least:
            x0, y0, x1, y1 = (int(v) for v in box)
            cv2.rectangle(image, (x0, y0), (x1, y1), COLOURS[kind], 2)
            cv2.putText(image, f"{score:.2f}", (x0 + 2, y0 + 12), 0, .4, COLOURS[kind], 1)
    return cv2.resize(image, (320, 240))


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("model", type=pathlib.Path)
    args.add_argument("--data", type=pathlib.Path, default=pathlib.Path(os.environ.get("WATCHPOST_DATA", "../shared/data")))
    args.add_argument("--least", type=float, default=0.4, help="score of the recall and precision told, and of the boxes in the sheet")
    args.add_argument("--sheet", type=pathlib.Path)
    args.add_argument("--times", type=int, default=0, help="runs to measure")
    args = args.parse_args()
    cv2.setNumThreads(1)
    net = Net(args.model)
    held = objects.Pictures(args.data, held=True).rows
    other = objects.Pictures(args.data, ("oi",)).rows
    parts = {"set aside": held, "street stills": [r for r in held if r[0].startswith("hwy")], "traffic cameras": [r for r in held if r[0].startswith("atl")]}
    for name, rows in parts.items():
        count = {kind: sum(int((boxes[:, 0] == k).sum()) for _, _, boxes in rows) for k, kind in enumerate(objects.CLASSES)}
        print(json.dumps({name: objects.report(net.run, rows, net.size, net.stride), "pictures": len(rows), "objects": count}))
    print(json.dumps({"oi": outside(net, other), "pictures": len(other)}))
    print(json.dumps({f"at {args.least}": at_score(net, held, args.least)}))
    print(json.dumps({"class right, near vehicles": {"set aside": class_right(net, held), "oi": class_right(net, other)}}))
    if args.times:
        frame = np.zeros((1080, 1920), np.uint8)
        image, *_ = objects.letterbox(frame, net.size)
        spent = []
        for _ in range(args.times):
            begun = time.process_time()
            net.run(image[None, None])
            spent.append(1000 * (time.process_time() - begun))
        print(json.dumps({"ms CPU a run": {"median": round(float(np.median(spent)), 2), "least": round(min(spent), 2)}}))
    if args.sheet:
        args.sheet.mkdir(parents=True, exist_ok=True)
        for name, rows in {**parts, "oi": other}.items():
            step = max(1, len(rows) // 42)
            sheet([drawn_on(net, row, args.least) for row in rows[::step][:42]], args.sheet / f"{name.replace(' ', '-')}.png", 7)


def class_right(net, rows, near: float = 60, steps=(0.3, 0.4, 0.5, 0.6)) -> dict:
    """Of labelled vehicles of `near` pixels of the input and more, by the score of the best that is found on each: how many, and
    the share whose class is right (the box keeps one class of a place, too)."""
    told = {low: [] for low in steps}
    for _, picture, truth in rows:
        scores, classes, boxes = objects.found_in(net.run, picture, net.size, net.stride)
        scale = min(net.size[0] / picture.shape[1], net.size[1] / picture.shape[0])
        for (kind, *box), over in zip(truth, objects.iou(truth[:, 1:], boxes)):
            on = np.where((over >= 0.5) & (classes < 4), scores, 0)
            if 0 <= kind < 4 and max(box[2] - box[0], box[3] - box[1]) * scale >= near and on.max(initial=0) >= steps[0]:
                told[max(low for low in steps if low <= on.max())].append(classes[on.argmax()] == kind)
    return {f"from {low}": {"right": round(float(np.mean(right)), 2) if right else None, "of": len(right)} for low, right in told.items()}


def at_score(net, rows, least: float) -> dict:
    """Recall and precision of each class at the score that is shipped."""
    told = {}
    found = [objects.found_in(net.run, picture, net.size, net.stride) for _, picture, _ in rows]
    for kind, name in enumerate(objects.CLASSES):
        right, seen, wanted = 0, 0, 0
        for (scores, classes, boxes), (_, _, truth) in zip(found, rows):
            mine = boxes[(classes == kind) & (scores >= least)]
            true = truth[truth[:, 0] == kind, 1:]
            over = objects.iou(mine, true)
            wanted += len(true)
            seen += len(mine)
            while over.size and over.max() >= 0.5:
                k, m = np.unravel_index(over.argmax(), over.shape)
                over[k], over[:, m] = -1, -1
                right += 1
        told[name] = {"recall": round(right / max(wanted, 1), 2), "precision": round(right / max(seen, 1), 2)}
    return told


if __name__ == "__main__":
    main()
