"""Trains the plate detector: `train_detector.py --work FOLDER --minutes 70`.

Drawn plates on street pictures teach heat, box and corners; the real labelled pictures whose licence allows it teach heat
and box. Every fourth step sees fewer, whole pictures, for plates that fill half of one. With `--seen` (`unlabelled.py`) the
unlabelled plates of the street pictures are ignored, and what was taken for one is shown again. Clock, checkpoint and averaged
weights work as in `train_reader.py`. Judged on real pictures that were kept back and on drawn windows: recall by width, mean IoU
and corners' error at the best cell of each plate, and false peaks.
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

WIDTHS = (16, 24, 40, 100)  # recall is told between these widths of plates, in pixels
LIKE = 4  # a whole picture costs as much as so many windows


def fields(size) -> dict:
    """What the ring holds of one window of `size`."""
    grid = (size[1] // streets.STRIDE, size[0] // streets.STRIDE)
    return {"grey": (size[::-1], "u1"), "heat": (grid, "f2"), "owner": (grid, "u1"), "weight": (grid, "f2"), "plates": ((streets.MOST, 14), "f4")}


class Make:
    """Makes the generator of one process; picklable."""

    def __init__(self, data: pathlib.Path, validation: bool = False, size=streets.WINDOW, seen: pathlib.Path | None = None):
        self.data, self.validation, self.size, self.seen = data, validation, size, seen

    def __call__(self, seed: int):
        cv2.setNumThreads(1)
        windows = streets.Windows(np.random.default_rng(seed), self.data, self.validation, self.size, self.seen)

        def example(difficulty):
            grey, labels = windows.next(difficulty)
            return {"grey": grey, "heat": labels.heat, "owner": labels.owner, "weight": labels.weight, "plates": labels.plates}

        return example


def centres(shape) -> tuple[torch.Tensor, torch.Tensor]:
    """x and y of the cells' centres in pixels, as [H, W] each, of a grid [..., H, W]."""
    ys, xs = torch.meshgrid((torch.arange(shape[-2]) + 0.5) * streets.STRIDE, (torch.arange(shape[-1]) + 0.5) * streets.STRIDE, indexing="ij")
    return xs, ys


def targets(rows) -> dict[str, torch.Tensor]:
    """The cells that belong to a plate: their index, weight and what they should say."""
    xs, ys = centres(rows["owner"].shape)
    owner = torch.from_numpy(rows["owner"].astype(np.int64))
    n, i, j = torch.nonzero(owner < 255, as_tuple=True)
    plate = torch.from_numpy(rows["plates"])[n, owner[n, i, j]]
    x, y = xs[i, j], ys[i, j]
    box = torch.stack([x - plate[:, 0], y - plate[:, 1], plate[:, 2] - x, plate[:, 3] - y], 1)
    corners = plate[:, 4:12] - torch.stack([x, y] * 4, 1)
    weight = torch.from_numpy(rows["heat"].astype(np.float32))[n, i, j]
    inside = box.min(1).values > 0.5
    return {"n": n[inside], "i": i[inside], "j": j[inside], "box": box[inside], "corners": corners[inside],
            "weight": weight[inside] * plate[inside, 13], "has": plate[inside, 12] * weight[inside]}


def wing(error: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    """Wing loss (Feng et al. 2018) of an error in pixels, relative to the plate's size: pulls on small errors too.

    Its bend is where an error is a hundredth of the plate and a tenth of a pixel.
    """
    error, bend, reach = error.abs() / size, 0.01 + 0.1 / size, 0.08
    near = reach * torch.log1p(error / bend)
    return torch.where(error < reach, near, error - reach + reach * torch.log1p(reach / bend))


def losses_of(net, rows) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    grey = (torch.from_numpy(rows["grey"])[:, None].float() / 255).contiguous(memory_format=torch.channels_last)
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
    off = wing(c - t["corners"], sizes).sum(1)
    corner_loss = (off * t["has"]).sum() / t["has"].sum().clamp(min=1)
    # where only a box is known, the corners must span it
    span = torch.stack([-torch.minimum(c[:, 0], c[:, 6]), -torch.minimum(c[:, 1], c[:, 3]), torch.maximum(c[:, 2], c[:, 4]), torch.maximum(c[:, 5], c[:, 7])], 1)
    beyond = wing(span - t["box"], sizes[:, :4]).sum(1)
    boxed = t["weight"] - t["has"]
    corner_loss = corner_loss + 0.5 * (beyond * boxed).sum() / boxed.sum().clamp(min=1)
    return heat_loss, box_loss, corner_loss


def judge(net: DetectorNet, held) -> dict[str, float]:
    """Recall at heat 0.3 and IoU 0.5, mean IoU and corners' error (share of the plate's height) of what is kept back; false peaks a window."""
    net.eval()
    widths, overlap, off, false, windows = [], [], [], 0, 0
    for rows in held:
        xs, ys = centres(rows["owner"].shape)
        windows += len(rows["grey"])
        for k in range(len(rows["grey"])):
            with torch.no_grad():
                heat, box, corners = (a[0] for a in net(torch.from_numpy(rows["grey"][k])[None, None].float() / 255))
            i, j = torch.nonzero((heat[0] > 0.3) & (F.max_pool2d(heat, 3, 1, 1)[0] == heat[0]), as_tuple=True)
            b = box[:, i, j].T
            seen = torch.stack([xs[i, j] - b[:, 0], ys[i, j] - b[:, 1], xs[i, j] + b[:, 2], ys[i, j] + b[:, 3]], 1).numpy()
            quads = corners[:, i, j].T.numpy() + np.stack([xs[i, j].numpy(), ys[i, j].numpy()] * 4, 1)
            truth = rows["plates"][k][rows["plates"][k][:, 2] > rows["plates"][k][:, 0]]
            for t in truth:
                ious = [iou(r, t[:4]) for r in seen]
                best = int(np.argmax(ious)) if ious else -1
                widths.append((t[2] - t[0], bool(ious) and ious[best] > (.5 if t[13] else .2)))
                if widths[-1][1] and t[13]:
                    overlap.append(ious[best])
                    if t[12]:
                        off.append((t[2] - t[0], np.abs(quads[best] - t[4:12]).mean() / (t[3] - t[1])))
            false += sum(rows["weight"][k, a, c] > 0.5 and not any(iou(r, t[:4]) > .2 for t in truth) for r, a, c in zip(seen, i, j))
    wide, right = np.array([w for w, _ in widths]), np.array([r for _, r in widths])
    row = {"recall": round(float(right.mean()), 4), "iou": round(float(np.mean(overlap or [0])), 4), "false": round(float(false) / windows, 4)}
    for low, high in zip((0, *WIDTHS), (*WIDTHS, 9999)):
        among = (wide >= low) & (wide < high)
        errors = [e for w, e in off if low <= w < high]
        row[f"{low}+"] = [int(among.sum()), round(float(right[among].mean()), 3) if among.any() else 0, round(float(np.mean(errors or [9])), 4)]
    return row


def held_back(data: pathlib.Path) -> list[dict[str, np.ndarray]]:
    """Windows, and whole pictures, of what training does not see."""
    held = []
    for size, count in (((352, 224), 300), (streets.WHOLE, 100)):
        example = Make(data, True, size)(999_983)
        rows = [example(0.8) for _ in range(count)]
        held.append({name: np.stack([row[name] for row in rows]) for name in rows[0]})
    return held


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
    args.add_argument("--begin", type=pathlib.Path, help="a checkpoint to begin from; the clock begins anew")
    args.add_argument("--seen", type=pathlib.Path, help="what unlabelled.py wrote")
    args.add_argument("--hold-stem", action="store_true", help="leave the first layers as they are: a step costs a fifth less")
    args.add_argument("--from-difficulty", type=float, default=0.3)
    args = args.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    path = args.work / "detector.pt"

    torch.manual_seed(1)
    net = DetectorNet()
    step, spent, state = 0, 0.0, {}
    if path.exists():
        state = torch.load(path, weights_only=True)
        net.begin(state["net"])
        step, spent = state["step"], state["spent"]
    elif args.begin:
        state = torch.load(args.begin, weights_only=True)
        net.begin(state["mean"])
        step = state["step"]
    net.stem.requires_grad_(not args.hold_stem)
    net = net.to(memory_format=torch.channels_last)
    mean = copy.deepcopy(net)
    optimiser = torch.optim.AdamW(net.parameters(), lr=args.rate, weight_decay=0.01, fused=True)
    if path.exists():
        mean.begin(state["mean"])
        optimiser.load_state_dict(state["optimiser"])
    warm = step
    held = held_back(args.data)
    print(json.dumps({"at": round(spent), "step": step, **judge(mean, held)}), flush=True)
    rng = np.random.default_rng(step)
    feeds = []
    for k, (size, room) in enumerate(((streets.WINDOW, 1000), (streets.WHOLE, 400))):
        feed = rings.Ring(room, fields(size), uses=5)
        feed.difficulty.value = args.from_difficulty
        rings.start(feed, Make(args.data, size=size, seen=args.seen), 1, 1000 + step + 77 * k, room // 4)
        feeds.append(feed)

    begun, saved, log = time.monotonic() - spent, time.monotonic(), []
    try:
        while (spent := time.monotonic() - begun) < args.minutes * 60:
            share = spent / (args.minutes * 60)
            for feed in feeds:
                feed.difficulty.value = max(args.from_difficulty, min(1.0, share / 0.3))
            rate = args.rate * min(1, (step - warm + 1) / 200) * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * share)))
            for group in optimiser.param_groups:
                group["lr"] = float(rate)
            net.train()
            net.stem.train(not args.hold_stem)  # its running means stay, too
            whole = step % 4 == 3
            heat, box, corner = losses_of(net, feeds[whole].draw(rng, args.batch // LIKE if whole else args.batch))
            loss = heat + 2 * box + 1.5 * corner
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimiser.step()
            step += 1
            log.append([heat.item(), box.item(), corner.item()])
            keep = min(0.999, step / (step + 50))
            with torch.no_grad():
                for a, b in zip(mean.state_dict().values(), net.state_dict().values()):
                    a.copy_(a * keep + b * (1 - keep) if a.is_floating_point() else b)
            if time.monotonic() - saved > 180:
                saved = time.monotonic()
                row = {"at": round(spent), "step": step, "made": [feed.written.value for feed in feeds], "losses": [round(float(v), 3) for v in np.mean(log, 0)], "rate": round(rate, 6), **judge(mean, held)}
                log.clear()
                print(json.dumps(row), flush=True)
                save(path, {"net": net.state_dict(), "mean": mean.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "spent": spent})
        save(path, {"net": net.state_dict(), "mean": mean.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "spent": spent})
        print(json.dumps({"done": step, **judge(mean, held)}), flush=True)
    finally:
        for feed in feeds:
            feed.close()


if __name__ == "__main__":
    main()
