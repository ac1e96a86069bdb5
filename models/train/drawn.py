"""Pictures of our own drawn street with the vehicles' boxes, for the object detector: `drawn.py FOLDER --streets 10`.

The street of the tests' clips (`tests/fixtures/street.py`), with other seeds, cameras, light and vehicles. Real pictures alone
do not teach a net what a drawn car is, and tests, demos and docs use drawn ones.
"""
import argparse
import json
import pathlib
import sys

import cv2
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "fixtures"))
import street  # noqa: E402

KINDS = {"hatch": "car", "sedan": "car", "suv": "car", "van": "car", "lorry": "truck"}
SIZE = (1280, 720)


def scene(rng) -> tuple[street.Camera, street.Street, np.ndarray]:
    camera = street.Camera(x=rng.uniform(-1, 1), height=rng.uniform(3, 6), yaw=rng.uniform(-4, 4), pitch=rng.uniform(9, 16), focal=float(np.exp(rng.uniform(np.log(900), np.log(2500)))), size=SIZE)
    low = rng.uniform(6, 25)
    palette = rng.uniform(.15, .55, (5, 1)) * rng.uniform(.7, 1.2, (5, 3))
    place = street.Street(np.random.default_rng(int(rng.integers(1 << 30))), (low, low + rng.uniform(4, 20)), palette, rng.uniform(15, 60))
    return camera, place, place.picture(camera)


def seen_box(camera, vehicle, x, y):
    points = camera.project(vehicle.place(vehicle.quads, x, y).reshape(-1, 3))
    (x0, y0), (x1, y1) = points.min(0), points.max(0)
    return np.array([x0, y0, x1, y1])


def picture(rng, camera, place, back):
    """One picture (grey levels as a camera gives them, BGR) and its boxes (label, x, y, w, h)."""
    frame, boxes, cars = back.copy(), [], []
    for side in (-1, 1):
        y = rng.uniform(5, 16)
        for _ in range(int(rng.integers(0, 4))):
            kind = list(KINDS)[int(rng.choice(5, p=[.2, .2, .2, .15, .25]))]
            paint = np.exp(rng.uniform(np.log(.015), np.log(.7))) * rng.uniform(.4, 1.3, 3)
            vehicle = street.Vehicle(kind, np.clip(paint, .01, .8), np.full((60, 240, 3), rng.uniform(.3, .9), np.float32), (.52, .11), side > 0, bool(rng.random() < .3))
            cars.append((vehicle, side * rng.uniform(1.2, 2.4) if rng.random() < .8 else 3.4, y))
            y += vehicle.length + rng.uniform(2, 18)
    for vehicle, x, y in sorted(cars, key=lambda car: -car[2]):
        street.paint(frame, place, camera, vehicle, x, y)
        box = seen_box(camera, vehicle, x, y)
        cut = np.clip(box, 0, np.tile(SIZE, 2))
        if np.prod(cut[2:] - cut[:2]) < 0.3 * np.prod(box[2:] - box[:2]) or cut[2] - cut[0] < 8:
            continue
        for other in boxes:  # farther ones that this one hides for the most part
            low, high = np.maximum(other[1][:2], cut[:2]), np.minimum(other[1][2:], cut[2:])
            if np.prod(np.maximum(high - low, 0)) > 0.6 * np.prod(other[1][2:] - other[1][:2]):
                other[0] = "hidden"
        boxes.append([KINDS[vehicle.kind], cut])
    light = cv2.GaussianBlur(frame, (0, 0), 0.6) * rng.uniform(.7, 1.5)
    tone = np.clip(light * 1.12 / (1 + 0.22 * light), 0, 1) ** (1 / 2.2) * 255
    return tone.astype(np.uint8)[..., ::-1], [[label, *(round(float(v), 1) for v in cut)] for label, cut in boxes]


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("folder", type=pathlib.Path)
    args.add_argument("--streets", type=int, default=10)
    args.add_argument("--pictures", type=int, default=10, help="of each street")
    args = args.parse_args()
    cv2.setNumThreads(1)
    args.folder.mkdir(parents=True, exist_ok=True)
    with (args.folder / "labels.jsonl").open("w") as out:
        for k in range(args.streets):
            rng = np.random.default_rng(7000 + k)
            camera, place, back = scene(rng)
            for m in range(args.pictures):
                image, boxes = picture(rng, camera, place, back)
                name = f"drawn-{k:02}-{m:02}.jpg"
                cv2.imwrite(str(args.folder / name), cv2.resize(image, (640, 360), interpolation=cv2.INTER_AREA), (cv2.IMWRITE_JPEG_QUALITY, 92))
                out.write(json.dumps({"file": name, "boxes": [[label, *(v / 2 for v in box)] for label, *box in boxes]}) + "\n")


def rows(folder: pathlib.Path, classes: list[str]) -> list:
    """The pictures as `objects.Pictures` has them."""
    found = []
    for line in (folder / "labels.jsonl").read_text().splitlines():
        row = json.loads(line)
        boxes = [(classes.index(label) if label in classes else -1, *box) for label, *box in row["boxes"]]
        found.append((row["file"], cv2.imread(str(folder / row["file"])), np.array(boxes, np.float32).reshape(-1, 5)))
    return found


if __name__ == "__main__":
    main()
