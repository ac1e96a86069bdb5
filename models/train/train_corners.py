"""Trains the net that moves a found plate's corners to where they are: `train_corners.py --work FOLDER --minutes 30`.

The detector sees a plate of 30 pixels in a picture at half its size and gives corners that are off by a tenth of it, which cuts
characters off the reader's crop. This net sees the plate and what is around it at the camera's own resolution, as the detector's corners
rectify it, and gives the corners in that crop. Drawn plates only: their corners are exact.
"""
import argparse
import copy
import json
import os
import pathlib
import time

import cv2
import numpy as np
import torch
from torch.nn import functional as F

import plates
import ring as rings
import scenes
from nets import CornerNet
from train_reader import save

SIZE = (96, 48)
MARGIN = (0.3, 0.45)  # around the corners as they were found, shares of their sides


def found(rng, quad: np.ndarray) -> np.ndarray:
    """The corners as a detector gives them: each off, all shifted, scaled and turned; at times the plain box."""
    if rng.random() < 0.25:
        (x0, y0), (x1, y1) = quad.min(0), quad.max(0)
        quad = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float32)
    w, h = np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[3] - quad[0])
    much = rng.choice((0.3, 1.0, 1.6), p=(.3, .5, .2))
    size = np.array([w, h])
    centre = quad.mean(0)
    quad = quad - centre
    a = rng.normal(0, 0.04) * much
    quad = quad @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    quad = quad * np.exp(rng.normal(0.02, (0.08, 0.11)) * much) + centre + rng.normal(0, (0.05, 0.08)) * much * size
    return (quad + rng.normal(0, (0.02, 0.04), (4, 2)) * much * size).astype(np.float32)


def target(quad: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The true corners where the corners of the crop are -1 and 1: x, y of top left, top right, bottom right, bottom left."""
    unit = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float32)
    matrix = cv2.getPerspectiveTransform(scenes.widened(seen, MARGIN), unit)
    return cv2.perspectiveTransform(quad[None].astype(np.float32), matrix)[0].reshape(8)


class Make:
    """Makes the generator of one process; picklable."""

    def __init__(self, data: pathlib.Path):
        self.data = data

    def __call__(self, seed: int):
        cv2.setNumThreads(1)
        rng = np.random.default_rng(seed)
        backgrounds = scenes.Backgrounds(self.data)
        drawn = lambda: plates.render(rng, two_lines=bool(rng.random() < 0.12))
        pool = [drawn() for _ in range(150)]

        def example(difficulty):
            k = int(rng.integers(len(pool)))
            if rng.random() < 0.25:
                pool[k] = drawn()
            while True:
                d = float(difficulty * rng.uniform(0.25, 1.0))
                view, quad = scenes.seen(rng, pool[k], backgrounds, d, around=0.8)
                seen = found(rng, quad)
                if rng.random() < 0.15:  # a picture that someone cut out: hardly anything around the plate
                    w, h = quad.max(0) - quad.min(0)
                    x0, y0 = np.maximum(quad.min(0) - rng.uniform(0, .12, 2) * (w, h * 1.5), 0).astype(int)
                    x1, y1 = np.ceil(quad.max(0) + rng.uniform(0, .12, 2) * (w, h * 1.5)).astype(int)
                    view = np.ascontiguousarray(view[y0:y1, x0:x1])
                    quad = quad - (x0, y0)
                    high, wide = view.shape
                    seen = np.array([(0, 0), (wide, 0), (wide, high), (0, high)], np.float32)
                corners = target(quad, seen)
                if np.abs(corners).max() < 1.3:
                    return {"grey": scenes.rectified(view, seen, SIZE, MARGIN), "corners": corners}

        return example


def loss_of(net, rows) -> torch.Tensor:
    grey = torch.from_numpy(rows["grey"])[:, None].float() / 255
    with torch.autocast("cpu", dtype=torch.bfloat16):
        corners = net(grey)
    return F.smooth_l1_loss(corners.float(), torch.from_numpy(rows["corners"]), beta=0.03)


def errors(net, grey, corners) -> dict[str, float]:
    """Median and 95th percentile of the worst corner's distance, in shares of the plate's width and height; and what they were before."""
    net.eval()
    with torch.no_grad():
        got = net(grey).numpy().reshape(-1, 4, 2)
    net.train()
    true = corners.reshape(-1, 4, 2)
    size = (true[:, 1] - true[:, 0] + true[:, 2] - true[:, 3])[:, :1] / 2, (true[:, 3] - true[:, 0] + true[:, 2] - true[:, 1])[:, 1:] / 2
    x, y = MARGIN
    before = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) / (1 + 2 * x, 1 + 2 * y)
    out = {}
    for name, guess in (("before", before[None]), ("after", got)):
        off = np.abs(guess - true)
        worst = np.maximum(off[..., 0] / size[0], off[..., 1] / size[1]).max(1)
        out[name] = [round(float(np.quantile(worst, q)), 4) for q in (.5, .95)]
    return out


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--data", type=pathlib.Path, default=pathlib.Path(os.environ.get("WATCHPOST_DATA", "../shared/data")))
    args.add_argument("--work", type=pathlib.Path, required=True, help="checkpoint and log go here")
    args.add_argument("--minutes", type=float, default=30)
    args.add_argument("--batch", type=int, default=64)
    args.add_argument("--rate", type=float, default=2e-3)
    args = args.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    path = args.work / "corners.pt"
    torch.manual_seed(2)
    net = CornerNet().to(memory_format=torch.channels_last)
    mean = copy.deepcopy(net)
    optimiser = torch.optim.AdamW(net.parameters(), lr=args.rate, weight_decay=0.01, fused=True)
    step, spent = 0, 0.0
    if path.exists():
        state = torch.load(path, weights_only=True)
        net.load_state_dict(state["net"])
        mean.load_state_dict(state["mean"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["spent"]
    example = Make(args.data)(999_331)
    rows = [example(1.0) for _ in range(500)]
    held = torch.tensor(np.stack([r["grey"] for r in rows]))[:, None].float() / 255, np.stack([r["corners"] for r in rows])
    rng = np.random.default_rng(step)
    ring = rings.Ring(6000, {"grey": (SIZE[::-1], "u1"), "corners": ((8,), "f4")})
    ring.difficulty.value = 1.0
    rings.start(ring, Make(args.data), 1, 7000 + step, 1000)
    begun, saved, losses = time.monotonic() - spent, time.monotonic(), []
    try:
        while (spent := time.monotonic() - begun) < args.minutes * 60:
            share = spent / (args.minutes * 60)
            for group in optimiser.param_groups:
                group["lr"] = float(args.rate * min(1, (step + 1) / 200) * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * share))))
            net.train()
            loss = loss_of(net, ring.draw(rng, args.batch))
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 2.0)
            optimiser.step()
            step += 1
            losses.append(loss.item())
            keep = min(0.998, step / (step + 100))
            with torch.no_grad():
                for a, b in zip(mean.state_dict().values(), net.state_dict().values()):
                    a.copy_(a * keep + b * (1 - keep) if a.is_floating_point() else b)
            if time.monotonic() - saved > 60:
                saved = time.monotonic()
                print(json.dumps({"at": round(spent), "step": step, "made": ring.written.value, "loss": round(float(np.mean(losses)), 5), **errors(mean, *held)}), flush=True)
                losses.clear()
                save(path, {"net": net.state_dict(), "mean": mean.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "spent": spent})
        save(path, {"net": net.state_dict(), "mean": mean.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "spent": spent})
        print(json.dumps({"done": step, **errors(mean, *held)}), flush=True)
    finally:
        ring.close()


if __name__ == "__main__":
    main()
