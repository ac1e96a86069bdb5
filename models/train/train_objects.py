"""Trains the vehicle and person detector: `train_objects.py two --work FOLDER --steps 8000`.

`two` is a net of its own (`ObjectNet`), `one` a head on the plate detector's features (`OnePass`); both see the same windows.
They begin with the plate detector's weights. Judged by AP50 on whole pictures of sites that were set aside.
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

import drawn
import objects
import ring as rings
from nets import ObjectNet, OnePass
from train_reader import save

NETS = {"one": OnePass, "two": ObjectNet}
W, H = objects.WINDOW[0] // objects.STRIDE, objects.WINDOW[1] // objects.STRIDE
KINDS = len(objects.CLASSES)
FIELDS = {"heat": ((KINDS, H, W), "f2"), "owner": ((H, W), "u1"), "best": ((H, W), "f2"), "weight": ((KINDS, H, W), "f2"), "objects": ((objects.MOST, 5), "f4")}
EMA = 4  # steps between updates of the averaged weights


class Make:
    """Makes the generator of one process; picklable."""

    def __init__(self, data: pathlib.Path, own: dict, size: tuple[int, int]):
        self.data, self.own, self.size = data, own, size

    def __call__(self, seed: int):
        cv2.setNumThreads(1)
        windows = objects.Windows(np.random.default_rng(seed), self.data, {name: drawn.rows(folder, objects.CLASSES) for name, folder in self.own.items() if folder})

        def example(difficulty):
            grey, labels = windows.next(difficulty)
            if self.size != objects.WINDOW:
                grey = cv2.resize(grey, self.size, interpolation=cv2.INTER_AREA)
            return {"grey": grey, "heat": labels.heat, "owner": labels.owner, "best": labels.best, "weight": labels.weight, "objects": labels.objects}

        return example


def window_of(net) -> tuple[int, int]:
    """The window as the net sees it."""
    return objects.WINDOW[0] * net.STRIDE // objects.STRIDE, objects.WINDOW[1] * net.STRIDE // objects.STRIDE


def losses_of(net, rows) -> tuple[torch.Tensor, torch.Tensor]:
    """Focal loss of the heat maps, and one minus the generalised overlap of the boxes (in cells)."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logit, box = net(torch.from_numpy(rows["grey"])[:, None].float() / 255, raw=True)
    logit, box = logit.float(), box.float() / net.STRIDE
    heat = torch.from_numpy(rows["heat"].astype(np.float32))
    weight = torch.from_numpy(rows["weight"].astype(np.float32))
    p = torch.sigmoid(logit)
    peak = (heat > 0.99).float()
    hot = -(1 - p) ** 2 * F.logsigmoid(logit) * peak
    cold = -((1 - heat) ** 4) * p ** 2 * F.logsigmoid(-logit) * (1 - peak) * weight
    heat_loss = (hot + cold).sum() / peak.sum().clamp(min=1)

    owner = torch.from_numpy(rows["owner"].astype(np.int64))
    n, i, j = torch.nonzero(owner < 255, as_tuple=True)
    wanted = torch.from_numpy(rows["objects"])[n, owner[n, i, j], 1:] / objects.STRIDE
    share = torch.from_numpy(rows["best"].astype(np.float32))[n, i, j]
    x, y = j + 0.5, i + 0.5
    t = torch.stack([x - wanted[:, 0], y - wanted[:, 1], wanted[:, 2] - x, wanted[:, 3] - y], 1)
    inside = t.min(1).values > -0.45  # small ones may lie on one side of the cell's middle
    n, i, j, t, share = n[inside], i[inside], j[inside], t[inside].clamp(min=0.02), share[inside]
    one = n * 256 + owner[n, i, j]  # a small object's few cells count nearly as much as a large one's many
    share = share / torch.zeros(256 * len(owner)).index_add_(0, one, share)[one] ** 0.8
    b = box[n, :, i, j]
    small, large = torch.minimum(b, t), torch.maximum(b, t)
    both = (small[:, 0] + small[:, 2]) * (small[:, 1] + small[:, 3])
    union = (b[:, 0] + b[:, 2]) * (b[:, 1] + b[:, 3]) + (t[:, 0] + t[:, 2]) * (t[:, 1] + t[:, 3]) - both
    hull = (large[:, 0] + large[:, 2]) * (large[:, 1] + large[:, 3])
    giou = both / union - (hull - union) / hull
    return heat_loss, ((1 - giou) * share).sum() / share.sum().clamp(min=1)


def judge(net, rows) -> dict:
    """AP50 on whole pictures, as they are seen in use."""
    net.eval()

    def run(image):
        with torch.no_grad():
            return [out.numpy() for out in net(torch.from_numpy(image))]

    return objects.report(run, rows, net.SIZE, net.STRIDE)


@torch.no_grad()
def average(mean, net, slow: float):
    """Moves the averaged weights a little towards the net's."""
    for a, b in zip(mean.state_dict().values(), net.state_dict().values()):
        if a.is_floating_point():
            a.lerp_(b, 1 - slow)
        else:
            a.copy_(b)


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("way", choices=list(NETS))
    args.add_argument("--data", type=pathlib.Path, default=pathlib.Path(os.environ.get("WATCHPOST_DATA", "../shared/data")))
    args.add_argument("--work", type=pathlib.Path, required=True, help="checkpoint and log go here")
    args.add_argument("--plates", type=pathlib.Path, required=True, help="the plate detector's checkpoint")
    args.add_argument("--begin", type=pathlib.Path, help="an earlier checkpoint of the same way to begin with, with a new learning rate")
    args.add_argument("--drawn", type=pathlib.Path, help="what drawn.py wrote")
    args.add_argument("--own", type=pathlib.Path, help="pictures that an earlier net labelled, as relabel.py wrote them")
    args.add_argument("--steps", type=int, required=True, help="of this go: the learning rate runs out with them")
    args.add_argument("--batch", type=int, default=16)
    args.add_argument("--rate", type=float, default=2e-3)
    args = args.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    path = args.work / f"objects-{args.way}.pt"

    torch.manual_seed(1)
    net = NETS[args.way]().to(memory_format=torch.channels_last)
    net.begin(torch.load(args.plates, weights_only=True)["mean"])
    step, spent, state = 0, 0.0, None
    if args.begin:
        earlier = torch.load(args.begin, weights_only=True)
        net.load_state_dict(earlier["mean"])
        step = earlier["step"]
    mean = copy.deepcopy(net)
    optimiser = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=args.rate, weight_decay=0.03, fused=True)
    if path.exists():
        state = torch.load(path, weights_only=True)
        net.load_state_dict(state["net"])
        mean.load_state_dict(state["mean"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["spent"]
    first = state.get("first", 0) if state else step
    held = objects.Pictures(args.data, held=True).rows
    rng = np.random.default_rng(step)
    size = window_of(net)
    ring = rings.Ring(900, {"grey": ((size[1], size[0]), "u1"), **FIELDS})
    ring.difficulty.value = 0.8
    rings.start(ring, Make(args.data, {"drawn": args.drawn, "own": args.own}, size), 1, 2000 + step, 200)

    def keep():
        save(path, {"net": net.state_dict(), "mean": mean.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "first": first, "spent": spent})

    begun, saved, log = time.monotonic() - spent, time.monotonic(), []
    try:
        while step - first < args.steps:
            spent, share = time.monotonic() - begun, (step - first) / args.steps
            rate = args.rate * min(1, (step - first + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * share)))
            for group in optimiser.param_groups:
                group["lr"] = float(rate)
            net.train()
            heat, box = losses_of(net, ring.draw(rng, args.batch))
            loss = heat + 2 * box
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimiser.step()
            step += 1
            log.append([heat.item(), box.item()])
            if step % EMA == 0:
                average(mean, net, min(0.998, step / (step + 50)) ** EMA)
            if time.monotonic() - saved > 170:
                saved = time.monotonic()
                row = {"at": round(spent), "cpu": round(time.process_time()), "step": step, "made": ring.written.value, "losses": [round(float(v), 3) for v in np.mean(log, 0)]}
                row |= {"rate": round(rate, 6), **judge(mean, held)}
                log.clear()
                print(json.dumps(row), flush=True)
                keep()
        keep()
        print(json.dumps({"done": step, "cpu": round(time.process_time()), **judge(mean, held)}), flush=True)
    finally:
        ring.close()


if __name__ == "__main__":
    main()
