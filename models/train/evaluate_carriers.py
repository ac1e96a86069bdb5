"""How many labelled plates are told with a vehicle, by width: `evaluate_carriers.py PICTURES READS.jsonl`.

PICTURES is a folder with `labels.jsonl` (file, box x y w h in pixels), READS what `watchpost read --json --vehicles MODEL` said of
them. Counted are labelled plates that a read lies on (IoU 0.3), and of these the ones whose read names a vehicle. Whether
its class is right no label tells.
"""
import argparse
import json
import pathlib

STEPS = (0, .05, .1, .15, 2)  # of the picture's width


def iou(a, b) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(w, 0) * max(h, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("pictures", type=pathlib.Path)
    args.add_argument("reads", type=pathlib.Path)
    args = args.parse_args()
    said = {pathlib.Path(row["file"]): row for row in map(json.loads, args.reads.read_text().splitlines())}
    counts = {low: [0, 0, 0] for low in STEPS[:-1]}
    for label in map(json.loads, (args.pictures / "labels.jsonl").read_text().splitlines()):
        row = said[args.pictures / label["file"]]
        x, y, w, h = label["box"]
        plate = [x / row["width"], y / row["height"], (x + w) / row["width"], (y + h) / row["height"]]
        best = max(row["reads"], key=lambda read: iou(read["box"], plate), default=None)
        count = counts[max(low for low in counts if low <= w / row["width"])]
        count[0] += 1
        if best and iou(best["box"], plate) >= .3:
            count[1] += 1
            count[2] += "vehicle" in best
    for low, (labelled, read, carried) in counts.items():
        print(json.dumps({"width from": low, "labelled": labelled, "read": read, "with a vehicle": carried}))
    labelled, read, carried = (sum(column) for column in zip(*counts.values()))
    print(json.dumps({"labelled": labelled, "read": read, "with a vehicle": carried, "share": round(carried / read, 2)}))


if __name__ == "__main__":
    main()
