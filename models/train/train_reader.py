"""Trains the reader on drawn plates only: `train_reader.py --work FOLDER --minutes 90`.

The learning rate follows the training's own clock, kept in the checkpoint: a training that is stopped goes on where it
was, and `--minutes` may be raised to train on. The difficulty grows over the first part (CTC stays on its plateau when
all is hard from the start). An average of the weights is what is judged and exported.
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
import scenes
from nets import ALPHABET, ReaderNet

LONGEST = 12
ABOUT = 0.1  # weight of region and lines beside the text


def encode(text: str) -> np.ndarray:
    row = np.zeros(LONGEST, np.uint8)
    row[:len(text)] = [ALPHABET.index(c) + 1 for c in text[:LONGEST]]
    return row


class Make:
    """Makes the generator of one process; picklable."""

    def __init__(self, data: pathlib.Path):
        self.data = data

    def __call__(self, seed: int):
        cv2.setNumThreads(1)
        rng = np.random.default_rng(seed)
        crops = scenes.Crops(rng, scenes.Backgrounds(self.data))

        def example(difficulty):
            crop = crops.next(difficulty)
            return {"grey": crop.grey, "text": encode(crop.text or ""), "read": np.uint8(crop.text is not None), "region": np.uint8(crop.region), "lines": np.uint8(crop.lines)}

        return example


def greedy(logits: torch.Tensor) -> list[str]:
    """The best path's text of each row."""
    out = []
    for row in logits.argmax(2).numpy():
        keep = np.concatenate(([True], row[1:] != row[:-1])) & (row > 0)
        out.append("".join(ALPHABET[k - 1] for k in row[keep]))
    return out


def judge(net: ReaderNet, held) -> dict[str, float]:
    """Of the crops held back: share read exactly, of regions and of numbers of lines told right."""
    net.eval()
    grey, crops = held
    with torch.no_grad():
        texts, regions, lines = (torch.cat(part) for part in zip(*(net(part) for part in grey.split(100))))
    reads = [a.replace("O", "0") == c.text.replace("O", "0") for a, c in zip(greedy(texts), crops) if c.text is not None]
    told = [int(a) == c.region for a, c in zip(regions.argmax(1), crops) if c.region != scenes.UNKNOWN]
    two = [int(a > 0) == c.lines for a, c in zip(lines[:, 0], crops) if c.lines != scenes.UNKNOWN]
    return {"read": round(float(np.mean(reads)), 4), "region": round(float(np.mean(told)), 4), "lines": round(float(np.mean(two)), 4)}


def held_back(data: pathlib.Path, count: int, seed: int = 999_983) -> tuple[torch.Tensor, list[scenes.Crop]]:
    """The validation split: crops of full difficulty from a seed that no generator has."""
    crops = scenes.Crops(np.random.default_rng(seed), scenes.Backgrounds(data), pool=count // 3, uses=3)
    rows = [crops.next(1.0) for _ in range(count)]
    return torch.tensor(np.stack([r.grey for r in rows]))[:, None].float() / 255, rows


def loss_of(net, rows) -> torch.Tensor:
    grey = torch.from_numpy(rows["grey"])[:, None].float() / 255
    text = torch.from_numpy(rows["text"].astype(np.int64))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, regions, lines = net(grey)
    scores = F.log_softmax(logits.float(), 2).transpose(0, 1)
    steps = torch.full((len(text),), scores.shape[0])
    read = F.ctc_loss(scores, text, steps, (text > 0).sum(1), zero_infinity=True, reduction="none").div((text > 0).sum(1).clamp(min=1))
    counts, region = torch.from_numpy(rows["read"].astype(np.float32)), torch.from_numpy(rows["region"].astype(np.int64))
    two = torch.from_numpy(rows["lines"].astype(np.float32))[:, None]
    known = (two <= 1).float()
    lines = F.binary_cross_entropy_with_logits(lines.float(), two.clamp(max=1), reduction="none")
    region = F.cross_entropy(regions.float(), region, ignore_index=scenes.UNKNOWN)
    return (read * counts).sum() / counts.sum() + ABOUT * (region + (lines * known).sum() / known.sum())


def save(path: pathlib.Path, state: dict):
    torch.save(state, path.with_suffix(".new"))
    os.replace(path.with_suffix(".new"), path)


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--data", type=pathlib.Path, default=pathlib.Path(os.environ.get("WATCHPOST_DATA", "../shared/data")))
    args.add_argument("--work", type=pathlib.Path, required=True, help="checkpoint and log go here")
    args.add_argument("--minutes", type=float, default=90)
    args.add_argument("--batch", type=int, default=64)
    args.add_argument("--rate", type=float, default=2e-3)
    args.add_argument("--generators", type=int, default=1)
    args.add_argument("--begin", type=pathlib.Path, help="a checkpoint whose weights to start from, where their shapes fit")
    args.add_argument("--from-difficulty", type=float, default=0.0, help="for fine-tuning: do not start easy")
    args = args.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    path = args.work / "reader.pt"

    torch.manual_seed(1)
    net = ReaderNet(len(scenes.REGIONS)).to(memory_format=torch.channels_last)
    if args.begin:
        net.load_state_dict(torch.load(args.begin, weights_only=True)["mean"], strict=False)
    mean = copy.deepcopy(net)
    optimiser = torch.optim.AdamW(net.parameters(), lr=args.rate, weight_decay=0.01, fused=True)
    step, spent = 0, 0.0
    if path.exists():
        state = torch.load(path, weights_only=True)
        net.load_state_dict(state["net"])
        mean.load_state_dict(state["mean"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["spent"]
    held = held_back(args.data, 900)
    rng = np.random.default_rng(step)
    ring = rings.Ring(4000, {"grey": ((48, 160), "u1"), "text": ((LONGEST,), "u1"), "read": ((), "u1"), "region": ((), "u1"), "lines": ((), "u1")})
    ring.difficulty.value = args.from_difficulty
    seed = 1000 + step
    rings.start(ring, Make(args.data), args.generators, seed, 1000)

    begun, saved, losses, rounds = time.monotonic() - spent, time.monotonic(), [], 0
    try:
        while (spent := time.monotonic() - begun) < args.minutes * 60:
            share = spent / (args.minutes * 60)
            ring.difficulty.value = max(args.from_difficulty, min(1.0, share / 0.2))
            rate = args.rate * min(1, (step + 1) / 300) * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * share)))
            for group in optimiser.param_groups:
                group["lr"] = float(rate)
            net.train()
            loss = loss_of(net, ring.draw(rng, args.batch))
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 2.0)
            optimiser.step()
            step += 1
            losses.append(loss.item())
            keep = min(0.999, step / (step + 100))
            with torch.no_grad():
                for a, b in zip(mean.state_dict().values(), net.state_dict().values()):
                    a.copy_(a * keep + b * (1 - keep) if a.is_floating_point() else b)
            if time.monotonic() - saved > 90:
                saved = time.monotonic()
                row = {"at": round(spent), "step": step, "made": ring.written.value, "loss": round(float(np.mean(losses)), 4), "rate": round(float(rate), 6),
                       "difficulty": round(ring.difficulty.value, 2)}
                rounds += 1
                if rounds % 3 == 0:
                    row["held"] = judge(mean, held)
                losses.clear()
                print(json.dumps(row), flush=True)
                save(path, {"net": net.state_dict(), "mean": mean.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "spent": spent})
        save(path, {"net": net.state_dict(), "mean": mean.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "spent": spent})
        print(json.dumps({"done": step, "held": judge(mean, held)}), flush=True)
    finally:
        ring.close()


if __name__ == "__main__":
    main()
