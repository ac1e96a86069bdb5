"""Pictures without labels of vehicles, labelled by an earlier net: `relabel.py CHECKPOINT FOLDER`.

Each picture is seen at two sizes, and mirrored; what is found in most of them with a mean score of .5 becomes a label, what has .2 and more
counts for nothing in training. Street pictures of `train-plates` (MIT, CC BY) and frames of the clips, some a second apart.
"""
import argparse
import json
import os
import pathlib

import cv2
import numpy as np
import torch

import objects
from nets import ObjectNet

SIZES = ((320, 192), (448, 256))
SURE, DOUBT = 0.5, 0.2


def views(net, picture, sizes=SIZES):
    """What the net finds in a picture, merged over sizes and mirror images: scores (means over all views), classes, boxes."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    h, w = grey.shape

    def run(image):
        with torch.no_grad():
            return [out.numpy() for out in net(torch.from_numpy(np.ascontiguousarray(image)))]

    seen = []
    for size in sizes:
        seen.append(objects.found_in(run, grey, size, net.STRIDE))
        scores, classes, boxes = objects.found_in(run, np.ascontiguousarray(grey[:, ::-1]), size, net.STRIDE)
        seen.append((scores, classes, np.stack([w - boxes[:, 2], boxes[:, 1], w - boxes[:, 0], boxes[:, 3]], 1)))
    scores, classes, boxes = (np.concatenate(part) for part in zip(*seen))
    used, merged = np.zeros(len(scores), bool), []
    for k in np.argsort(-scores):
        if used[k]:
            continue
        same = ~used & (classes == classes[k]) & (objects.iou(boxes[k:k + 1], boxes)[0] >= 0.55)
        same[k] = True
        used |= same
        weight = scores[same]
        merged.append((min(1.0, weight.sum() / len(seen)), classes[k], (boxes[same] * weight[:, None]).sum(0) / weight.sum()))
    return merged


def pictures(data: pathlib.Path):
    """(name, picture) of each."""
    for folder, every in (("oi", 1), ("ro", 4)):
        for k, path in enumerate(sorted((data / "train-plates" / folder).glob("*.jpg"))):
            if k % every == 0:
                yield path.name, cv2.imread(str(path))
    for path in sorted((data / "videos").glob("*.mp4")):
        clip = cv2.VideoCapture(str(path))
        count = int(clip.get(cv2.CAP_PROP_FRAME_COUNT))
        for at in np.linspace(0, count - 1, 24).astype(int):
            clip.set(cv2.CAP_PROP_POS_FRAMES, int(at))
            good, picture = clip.read()
            if good:
                yield f"{path.stem}-{at}.jpg", picture


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("checkpoint", type=pathlib.Path)
    args.add_argument("folder", type=pathlib.Path)
    args.add_argument("--data", type=pathlib.Path, default=pathlib.Path(os.environ.get("WATCHPOST_DATA", "../shared/data")))
    args = args.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    net = ObjectNet()
    net.load_state_dict(torch.load(args.checkpoint, weights_only=True)["mean"])
    net.eval()
    args.folder.mkdir(parents=True, exist_ok=True)
    told = np.zeros(len(objects.CLASSES), int)
    with (args.folder / "labels.jsonl").open("w") as out:
        for name, picture in pictures(args.data):
            scale = 640 / max(picture.shape[:2])
            if scale < 1:
                picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            merged = [found for found in views(net, picture) if found[0] >= DOUBT]
            rows = [[objects.CLASSES[kind] if score >= SURE else "?", *(round(float(v), 1) for v in box)] for score, kind, box in merged]
            for score, kind, _ in merged:
                told[kind] += score >= SURE
            cv2.imwrite(str(args.folder / name), picture, (cv2.IMWRITE_JPEG_QUALITY, 92))
            out.write(json.dumps({"file": name, "boxes": rows}) + "\n")
    print(dict(zip(objects.CLASSES, told.tolist())))


if __name__ == "__main__":
    main()
