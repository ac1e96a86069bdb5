"""Which vehicle pictures are set aside for validation, by site: `sites.py` prints the list that `objects-held.txt` holds.

The pictures carry no place. Two of them are of one site where their backgrounds (what lies outside the labelled boxes) agree:
SIFT features that match and lie on one similarity transform, mirrored or not. whole blocks of consecutive file numbers (taken in
one go, mostly) are set aside, and then every picture that a chain of such agreements ties to one of them; the two pictures
beside a block are used for nothing. The traffic cameras (`atl`) are set aside by camera, which the file's name tells. The list
is kept in the repository, because another OpenCV may find a few features more or less.
"""
import argparse
import json
import os
import pathlib
import re

import cv2
import numpy as np

BLOCK = 16  # consecutive pictures of `hwy`
EVERY = 9  # one block out of so many is set aside
INLIERS = 14  # matches on one transform that make two pictures one site
NEAR = 30  # look-alikes of a picture that are compared with it
CAMERAS = re.compile(r"atl/(1026007\d|Z|A\d{4})")  # a grassy motorway, a city's jam at night, three more jams, two wide roads
BESIDE = 2  # pictures on either side of a block that are used for nothing
LIST = pathlib.Path(__file__).with_name("objects-held.txt")


def rows_of(data: pathlib.Path, folders=("hwy", "atl")) -> list[dict]:
    rows = [json.loads(line) for line in (data / "vehicles" / "labels.jsonl").read_text().splitlines()]
    return [row for row in rows if row["file"].split("/")[0] in folders]


def background(row, shape) -> np.ndarray:
    """255 outside the labelled boxes, or everywhere where the boxes leave little."""
    mask = np.full(shape, 255, np.uint8)
    for label in row["boxes"]:
        x, y, w, h = (round(v) for v in label["box"])
        mask[max(0, y - 3):y + h + 3, max(0, x - 3):x + w + 3] = 0
    return mask if (mask > 0).mean() > 0.25 else np.full(shape, 255, np.uint8)


def agree(a, b) -> bool:
    """Whether two pictures' features lie on one similarity transform. Each is (points, descriptors)."""
    if a[1] is None or b[1] is None or len(a[0]) < INLIERS or len(b[0]) < INLIERS:
        return False
    near = a[1] @ b[1].T  # unit descriptors: the greater the nearer
    order = np.argpartition(-near, 1, axis=1)[:, :2]
    first, second = np.take_along_axis(near, order, 1).max(1), np.take_along_axis(near, order, 1).min(1)
    best = near.argmax(1)
    good = np.nonzero((1 - first < 0.6 * (1 - second)) & (near.argmax(0)[best] == np.arange(len(best))))[0]
    if len(good) < INLIERS:
        return False
    cv2.setRNGSeed(1)
    _, inliers = cv2.estimateAffinePartial2D(a[0][good], b[0][best[good]], ransacReprojThreshold=5.0)
    return inliers is not None and int(inliers.sum()) >= INLIERS


def features(sift, grey, mask):
    points, found = sift.detectAndCompute(grey, mask)
    if found is None:
        return np.zeros((0, 2), np.float32), None
    found = np.sqrt(found / np.maximum(found.sum(1, keepdims=True), 1e-6))  # RootSIFT: unit length
    return np.float32([p.pt for p in points]), found.astype(np.float32)


def thumbnail(grey) -> np.ndarray:
    small = cv2.resize(grey, (12, 12), interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= small.mean()
    return small / (np.linalg.norm(small) + 1e-6)


def components(data: pathlib.Path, rows) -> list[int]:
    """A number for each picture's site."""
    sift = cv2.SIFT_create(400)
    plain, mirrored, small, flipped = [], [], [], []
    for row in rows:
        grey = cv2.imread(str(data / "vehicles" / row["file"]), cv2.IMREAD_GRAYSCALE)
        mask = background(row, grey.shape)
        plain.append(features(sift, grey, mask))
        mirrored.append(features(sift, np.ascontiguousarray(grey[:, ::-1]), np.ascontiguousarray(mask[:, ::-1])))
        small.append(thumbnail(grey).ravel())
        flipped.append(thumbnail(grey[:, ::-1]).ravel())
    small, flipped = np.stack(small), np.stack(flipped)
    parent = list(range(len(rows)))

    def root(k):
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    for other, likeness in ((plain, small @ small.T), (mirrored, small @ flipped.T)):
        for k in range(len(rows)):
            near = set(np.argsort(-likeness[k])[:NEAR].tolist()) | set(range(k + 1, min(k + 13, len(rows))))
            for m in sorted(near):
                if m != k and root(m) != root(k) and agree(plain[k], other[m]):
                    parent[root(m)] = root(k)
    return [root(k) for k in range(len(rows))]


def held_back(data: pathlib.Path) -> list[str]:
    """Lines of the list: `held` or `unused`, and the picture."""
    rows = rows_of(data, ("hwy",))
    sites = components(data, rows)
    block = [k // BLOCK % EVERY == EVERY // 2 for k in range(len(rows))]
    chosen = {site for site, inside in zip(sites, block) if inside}
    held = [site in chosen for site in sites]
    lines = []
    for k, row in enumerate(rows):
        if held[k] or any(block[max(0, k - BESIDE):k + BESIDE + 1]):
            lines.append(f"{'held' if held[k] else 'unused'} {row['file']}")
    return lines + [f"held {row['file']}" for row in rows_of(data, ("atl",)) if CAMERAS.match(row["file"])]


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--data", type=pathlib.Path, default=pathlib.Path(os.environ.get("WATCHPOST_DATA", "../shared/data")))
    args.add_argument("--write", action="store_true", help=f"into {LIST.name}")
    args = args.parse_args()
    cv2.setNumThreads(1)
    held = held_back(args.data)
    if args.write:
        LIST.write_text("\n".join(held) + "\n")


if __name__ == "__main__":
    main()
