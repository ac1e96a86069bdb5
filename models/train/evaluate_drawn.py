"""How well a reader reads drawn plates that no training saw: by region, height of the characters, angle and number of lines.

    evaluate_drawn.py model.onnx [--count 300] [--difficulty 0.6]

Each row of the table is `count` crops from seeds of its own; other properties are drawn as in training, at the difficulty given (0 clean,
1 the worst). Exact takes 0 and O for one character. Two lines are read half by half, as the box does.
"""
import argparse
import os
import pathlib

import cv2
import numpy as np
import onnxruntime

import plates
import scenes
from evaluate import beam, session


def read(net: onnxruntime.InferenceSession, crops: list[np.ndarray]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Texts, region numbers and probabilities of two lines."""
    texts, regions, lines = [], [], []
    for k in range(0, len(crops), 50):
        probs, region, two = net.run(None, {"plate": np.stack(crops[k:k + 50])[:, None].astype(np.float32) / 255})
        texts += [beam(p)[0][0] for p in probs]
        regions.append(region.argmax(1))
        lines.append(two[:, 0])
    return texts, np.concatenate(regions), np.concatenate(lines)


def score(net, rng, backgrounds, count, difficulty, region=None, two_lines=False, **how) -> str:
    whole, upper, lower, drawn = [], [], [], []
    for _ in range(count):
        plate = plates.render(rng, region, two_lines=two_lines)
        view, quad = scenes.seen(rng, plate, backgrounds, difficulty, **how)
        quad = scenes.jitter(rng, quad, difficulty)
        drawn.append(plate)
        whole.append(scenes.rectified(view, quad))
        if two_lines:
            a, b = scenes.halves(quad)
            upper.append(scenes.half_crop(view, a, False))
            lower.append(scenes.half_crop(view, b, True))
    texts, regions, lines = read(net, whole)
    if two_lines:
        texts = [a + b for a, b in zip(read(net, upper)[0], read(net, lower)[0])]
    same = lambda a, b: a.replace("O", "0") == b.replace("O", "0")
    exact = np.mean([same(a, p.text) for a, p in zip(texts, drawn)])
    told = np.mean([k == scenes.region_number(p.region) for k, p in zip(regions, drawn)])
    return f"exact {exact:.3f}  region {told:.3f}  lines {np.mean((lines >= 0.5) == two_lines):.3f}"


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("model", type=pathlib.Path)
    args.add_argument("--count", type=int, default=300)
    args.add_argument("--difficulty", type=float, default=0.6)
    args.add_argument("--data", type=pathlib.Path, default=pathlib.Path(os.environ.get("WATCHPOST_DATA", "../shared/data")))
    args = args.parse_args()
    cv2.setNumThreads(1)
    net, backgrounds = session(args.model), scenes.Backgrounds(args.data, limit=400)
    rows = [(f"region {name}", {"region": name}) for name, _ in plates.REGIONS]
    rows += [(f"two lines {name}", {"region": name, "two_lines": True}) for name, _ in plates.TWO_LINES]
    rows += [(f"characters {high} px", {"char_height": float(high)}) for high in (8, 10, 12, 16, 24, 40)]
    rows += [(f"turned {degrees} degrees", {"turned": float(np.radians(degrees)), "char_height": 24.0}) for degrees in (0, 20, 35, 50)]
    for seed, (name, how) in enumerate(rows):
        print(f"{name:24} {score(net, np.random.default_rng(770_000 + seed), backgrounds, args.count, args.difficulty, **how)}", flush=True)


if __name__ == "__main__":
    main()
