"""The mean of two checkpoints' averaged weights: `mean.py A B OUT`. Of nets of which one went on where the other stopped."""
import pathlib
import sys

import torch


def main():
    first, second, out = (pathlib.Path(path) for path in sys.argv[1:])
    a, b = (torch.load(path, weights_only=True) for path in (first, second))
    mean = {key: (value + b["mean"][key]) / 2 if value.is_floating_point() else b["mean"][key] for key, value in a["mean"].items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"mean": mean, "step": b["step"]}, out)


if __name__ == "__main__":
    main()
