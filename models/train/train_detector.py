"""Trains the plate detector: `train_detector.py --work FOLDER --minutes 70`.

Drawn plates on street pictures teach heat, box and corners; the real labelled pictures whose licence allows it teach heat
and box. Clock, checkpoint and averaged weights work as in `train_reader.py`. Judged on real pictures that were kept back and
on drawn windows: recall and mean IoU at the best cell of each plate, and false peaks.
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

import ring as rings
import streets
from nets import DetectorNet
from train_reader import save

W, H = streets.WINDOW[0] // streets.STRIDE, streets.WINDOW[1] // streets.STRIDE
FIELDS = {"grey": ((streets.WINDOW[1], streets.WINDOW[0]), "u1"), "heat": ((H, W), "f2"), "owner": ((H, W), "u1"), "weight": ((H, W), "f2"), "plates": ((streets.MOST, 13), "f4")}


class Make:
    """Makes the generator of one process; picklable."""

    def __init__(self, data: pathlib.Path, validation: bool = False):
        self.data, self.validation = data, validation

    def __call__(self, seed: int):
        cv2.setNumThreads(1)
        windows = streets.Windows(np.random.default_rng(seed), self.data, self.validation)

        def example(difficulty):
            grey, labels = windows.next(difficulty)
            return {"grey": grey, "heat": labels.heat, "owner": labels.owner, "weight": labels.weight, "plates": labels.plates}

        return example


def centres() -> tuple[torch.Tensor, torch.Tensor]:
    """x and y of the cells' centres in pixels, as [H, W] each."""
    ys, xs = torch.meshgrid((torch.arange(H) + 0.5) * streets.STRIDE, (torch.arange(W) + 0.5) * streets.STRIDE, indexing="ij")
    return xs, ys


def targets(rows) -> dict[str, torch.Tensor]:
    """The cells that belong to a plate: their index, weight and what they should say."""
    xs, ys = centres()
    owner = torch.from_numpy(rows["owner"].astype(np.int64))
    n, i, j = torch.nonzero(owner < 255, as_tuple=True)
    plate = torch.from_numpy(rows["plates"])[n, owner[n, i, j]]
    x, y = xs[i, j], ys[i, j]
    box = torch.stack([x - plate[:, 0], y - plate[:, 1], plate[:, 2] - x, plate[:, 3] - y], 1)
    corners = plate[:, 4:12] - torch.stack([x, y] * 4, 1)
    weight = torch.from_numpy(rows["heat"].astype(np.float32))[n, i, j]
    inside = box.min(1).values > 0.5
    return {"n": n[inside], "i": i[inside], "j": j[inside], "box": box[inside], "corners": corners[inside],
            "weight": weight[inside], "has": plate[inside, 12] * weight[inside]}


def losses_of(net, rows) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    grey = torch.from_numpy(rows["grey"])[:, None].float() / 255
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logit, box, corners = net(grey, raw=True)
    logit, box, corners = logit[:, 0].float(), box.float(), corners.float()
    heat = torch.from_numpy(rows["heat"].astype(np.float32))
    weight = torch.from_numpy(rows["weight"].astype(np.float32))
    p = torch.sigmoid(logit)
    peak = (heat > 0.99).float()
    weight = torch.maximum(weight, peak)
    hot = -(1 - p) ** 2 * F.logsigmoid(logit) * peak
    cold = -((1 - heat) ** 4) * p ** 2 * F.logsigmoid(-logit) * (1 - peak) * weight
    heat_loss = (hot + cold).sum() / peak.sum().clamp(min=1)

    t = targets(rows)
    b, c = box[t["n"], :, t["i"], t["j"]], corners[t["n"], :, t["i"], t["j"]]
    small, large = torch.minimum(b, t["box"]), torch.maximum(b, t["box"])
    both = (small[:, 0] + small[:, 2]) * (small[:, 1] + small[:, 3])
    area, wanted = (b[:, 0] + b[:, 2]) * (b[:, 1] + b[:, 3]), (t["box"][:, 0] + t["box"][:, 2]) * (t["box"][:, 1] + t["box"][:, 3])
    union = area + wanted - both
    hull = (large[:, 0] + large[:, 2]) * (large[:, 1] + large[:, 3])
    giou = both / union - (hull - union) / hull
    box_loss = ((1 - giou) * t["weight"]).sum() / t["weight"].sum().clamp(min=1)
    sizes = torch.stack([t["box"][:, 0] + t["box"][:, 2], t["box"][:, 1] + t["box"][:, 3]] * 4, 1)
    off = F.smooth_l1_loss(c / sizes, t["corners"] / sizes, beta=0.05, reduction="none").sum(1)
    corner_loss = (off * t["has"]).sum() / t["has"].sum().clamp(min=1)
    # where only a box is known, the corners must at least span it
    span = torch.stack([-torch.minimum(c[:, 0], c[:, 6]), -torch.minimum(c[:, 1], c[:, 3]), torch.maximum(c[:, 2], c[:, 4]), torch.maximum(c[:, 5], c[:, 7])], 1)
    beyond = F.smooth_l1_loss(span / sizes[:, :4], t["box"] / sizes[:, :4], beta=0.05, reduction="none").sum(1)
    corner_loss = corner_loss + (beyond * t["weight"]).sum() / t["weight"].sum().clamp(min=1)
    return heat_loss, box_loss, corner_loss


def judge(net: DetectorNet, rows) -> dict[str, float]:
    """Recall at heat 0.3, mean IoU and corner error (share of the plate's height) of the windows kept back; false peaks a window."""
    net.eval()
    xs, ys = centres()
    found, plates, false, overlap, off = 0, 0, 0, [], []
    with torch.no_grad():
        for k in range(0, len(rows["grey"]), 16):
            heat, box, corners = net(torch.from_numpy(rows["grey"][k:k + 16])[:, None].float() / 255)
            heat = heat * (F.max_pool2d(heat, 3, 1, 1) == heat)
            for m in range(len(heat)):
                i, j = torch.nonzero(heat[m, 0] > 0.3, as_tuple=True)
                b = box[m][:, i, j].T
                reads = torch.stack([xs[i, j] - b[:, 0], ys[i, j] - b[:, 1], xs[i, j] + b[:, 2], ys[i, j] + b[:, 3]], 1).numpy()
                seen = corners[m][:, i, j].T.numpy() + np.stack([xs[i, j].numpy(), ys[i, j].numpy()] * 4, 1)
                truth = rows["plates"][k + m]
                truth = truth[truth[:, 2] > truth[:, 0]]
                plates += len(truth)
                right = set()
                for t in truth:
                    ious = [iou(r, t[:4]) for r in reads]
                    if ious and max(ious) > 0.5:
                        best = int(np.argmax(ious))
                        right.add(best)
                        found += 1
                        overlap.append(max(ious))
                        if t[12]:
                            off.append(np.abs(seen[best] - t[4:12]).mean() / (t[3] - t[1]))
                for r, (a, c) in enumerate(zip(i, j)):
                    if r not in right and rows["weight"][k + m, a, c] > 0.9 and not any(iou(reads[r], t[:4]) > .2 for t in truth):
                        false += 1
    return {"recall": round(found / plates, 4), "iou": round(float(np.mean(overlap or [0])), 4), "corner": round(float(np.mean(off or [9])), 4),
            "false": round(false / len(rows["grey"]), 4)}


def iou(a, b) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    return float(wide * high / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - wide * high))


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--data", type=pathlib.Path, default=pathlib.Path(os.environ.get("WATCHPOST_DATA", "../shared/data")))
    args.add_argument("--work", type=pathlib.Path, required=True, help="checkpoint and log go here")
    args.add_argument("--minutes", type=float, default=70)
    args.add_argument("--batch", type=int, default=16)
    args.add_argument("--rate", type=float, default=2e-3)
    args.add_argument("--from-difficulty", type=float, default=0.3)
    args = args.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    path = args.work / "detector.pt"

    torch.manual_seed(1)
    net = DetectorNet()
    mean = copy.deepcopy(net)
    optimiser = torch.optim.AdamW(net.parameters(), lr=args.rate, weight_decay=0.01)
    step, spent = 0, 0.0
    if path.exists():
        state = torch.load(path, weights_only=True)
        net.load_state_dict(state["net"])
        mean.load_state_dict(state["mean"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["spent"]
    example = Make(args.data, validation=True)(999_983)
    held = [example(0.8) for _ in range(240)]
    held = {name: np.stack([row[name] for row in held]) for name in held[0]}
    del example
    rng = np.random.default_rng(step)
    ring = rings.Ring(1000, FIELDS)
    ring.difficulty.value = args.from_difficulty
    rings.start(ring, Make(args.data), 1, 1000 + step, 240)

    begun, saved, log = time.monotonic() - spent, time.monotonic(), []
    try:
        while (spent := time.monotonic() - begun) < args.minutes * 60:
            share = spent / (args.minutes * 60)
            ring.difficulty.value = max(args.from_difficulty, min(1.0, share / 0.3))
            rate = args.rate * min(1, (step + 1) / 200) * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * share)))
            for group in optimiser.param_groups:
                group["lr"] = float(rate)
            net.train()
            heat, box, corner = losses_of(net, ring.draw(rng, args.batch))
            loss = heat + 2 * box + 3 * corner
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimiser.step()
            step += 1
            log.append([heat.item(), box.item(), corner.item()])
            keep = min(0.998, step / (step + 50))
            with torch.no_grad():
                for a, b in zip(mean.state_dict().values(), net.state_dict().values()):
                    a.copy_(a * keep + b * (1 - keep) if a.is_floating_point() else b)
            if time.monotonic() - saved > 110:
                saved = time.monotonic()
                row = {"at": round(spent), "step": step, "made": ring.written.value, "losses": [round(float(v), 3) for v in np.mean(log, 0)], "rate": round(rate, 6), **judge(mean, held)}
                log.clear()
                print(json.dumps(row), flush=True)
                save(path, {"net": net.state_dict(), "mean": mean.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "spent": spent})
        save(path, {"net": net.state_dict(), "mean": mean.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "spent": spent})
        print(json.dumps({"done": step, **judge(mean, held)}), flush=True)
    finally:
        ring.close()


if __name__ == "__main__":
    main()
