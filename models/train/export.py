"""Writes a checkpoint as `model.onnx` beside its manifest, checks it against torch, and fills in the manifest.

`export.py reader --work FOLDER`, and `corners`, `detector`, `objects-two` (a net of its own) or `objects-one` (plates and objects in one pass) likewise. The reader's temperature is fitted on drawn crops
that were kept back from training, and baked into the graph: its confidence (the product of the characters' probabilities)
then is about the share of right reads there.
"""
import argparse
import hashlib
import os
import pathlib
import re
import tempfile

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

import scenes
import train_corners
import train_reader
from nets import CornerNet, DetectorNet, ObjectNet, OnePass, ReaderNet

MODELS = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = {"reader": "reader-1", "corners": "corners-1", "detector": "plates-1", "objects-two": "objects-1", "objects-one": "objects-1"}


class Read(torch.nn.Module):
    """The reader as it is shipped: probabilities; those of the text at a temperature."""

    def __init__(self, net: ReaderNet, temperature: float):
        super().__init__()
        self.net, self.temperature = net, temperature

    def forward(self, plate):
        text, region, lines = self.net(plate)
        return torch.softmax(text / self.temperature, 2), torch.softmax(region, 1), torch.sigmoid(lines)


class Mirrored(torch.nn.Module):
    """Objects in a picture and in its mirror image, as one map: the mean of the heats, boxes weighed by them."""

    def __init__(self, net: ObjectNet):
        super().__init__()
        self.net = net

    def forward(self, image):
        heat, box = self.net(torch.cat([image, torch.flip(image, [3])], 0))
        heats = heat[:1], torch.flip(heat[1:], [3])
        boxes = box[:1], torch.flip(box[1:], [3])[:, [2, 1, 0, 3]]
        weights = [h.amax(1, keepdim=True) + 1e-3 for h in heats]
        return (heats[0] + heats[1]) / 2, (boxes[0] * weights[0] + boxes[1] * weights[1]) / (weights[0] + weights[1])


class Both(torch.nn.Module):
    """Plates and objects in one pass."""

    def __init__(self, net: OnePass):
        super().__init__()
        self.net = net

    def forward(self, image):
        return self.net.both(image)


def confidences(probs: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Best path's text and the product of its characters' probabilities, a row each; 1 for an empty text."""
    texts, values = [], []
    for row in probs:
        best, text, value, last = row.argmax(1), "", 1.0, 0
        run = 0.0
        for k, p in zip(best, row.max(1)):
            if k != last:
                value *= run if last else 1.0
                run = 0.0
                if k:
                    text += train_reader.ALPHABET[k - 1]
            run, last = max(run, float(p)), k
        texts.append(text)
        values.append(value * (run if last else 1.0))
    return texts, np.array(values)


EVEN = 0.002  # difference of log loss that is chance on the crops kept back


def fitted_temperature(net: ReaderNet, held) -> float:
    """The temperature with the least log loss of "this read is right" on the crops kept back; the largest of those that are as
    good (within `EVEN`): a doubt too many costs less than a wrong read that is sure of itself."""
    grey, crops = held
    rows = [k for k, crop in enumerate(crops) if crop.text is not None]
    truths = [crops[k].text for k in rows]
    with torch.no_grad():
        logits = torch.cat([net(part)[0] for part in grey[rows].split(100)])
    losses = {}
    for temperature in np.arange(0.7, 3.01, 0.1):
        texts, values = confidences(torch.softmax(logits / temperature, 2).numpy())
        right = np.array([a.replace("O", "0") == b.replace("O", "0") for a, b in zip(texts, truths)])
        p = np.clip(values, 1e-4, 1 - 1e-4)
        losses[float(temperature)] = float(-np.mean(np.where(right, np.log(p), np.log(1 - p))))
    return round(max(t for t, loss in losses.items() if loss <= min(losses.values()) + EVEN), 2)


def write(module: torch.nn.Module, example: torch.Tensor, path: pathlib.Path, names: tuple[list[str], list[str]], batched: bool):
    axes = {name: {0: "n"} for name in names[0] + names[1]} if batched else None
    torch.onnx.export(module, (example,), str(path), input_names=names[0], output_names=names[1], dynamic_axes=axes, opset_version=17, dynamo=False)
    onnx.checker.check_model(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        wanted = module(example)
    got = session.run(None, {names[0][0]: example.numpy()})
    for a, b in zip(wanted if isinstance(wanted, tuple) else (wanted,), got):
        worst = float(np.abs(a.numpy() - b).max() / max(1.0, float(a.abs().max())))
        if worst > 1e-3:
            raise SystemExit(f"{path}: the runtime differs from torch by {worst}")


class Crops(CalibrationDataReader):
    """Crops, one at a time, from which the ranges of the activations are taken."""

    def __init__(self, crops: torch.Tensor):
        self.rest = iter(crops.numpy())

    def get_next(self):
        crop = next(self.rest, None)
        return None if crop is None else {"plate": crop[None]}


def quantise(path: pathlib.Path, crops: torch.Tensor):
    """Rewrites a model of crops with weights and activations of 8 bits (static, a scale per channel).

    Weights use 7 bits of them: processors without VNNI add products of 8 bits in 16 with saturation, and would read otherwise.
    """
    with tempfile.TemporaryDirectory() as folder:
        ready = pathlib.Path(folder) / "ready.onnx"
        quant_pre_process(str(path), str(ready), skip_symbolic_shape=True)
        quantize_static(str(ready), str(path), Crops(crops), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, op_types_to_quantize=["Conv", "Add", "Relu"])


def fill_manifest(folder: pathlib.Path, **values: str):
    """Sets `key = value` lines of the manifest, comments kept."""
    path = folder / "manifest.toml"
    text = path.read_text()
    for key, value in values.items():
        text, count = re.subn(rf"(?m)^{key} = \S+", f"{key} = {value}", text)
        if count != 1:
            raise SystemExit(f"{path}: {count} lines set {key}")
    path.write_text(text)


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("model", choices=list(FOLDERS))
    args.add_argument("--work", type=pathlib.Path, required=True)
    args.add_argument("--data", type=pathlib.Path, default=pathlib.Path(os.environ.get("WATCHPOST_DATA", "../shared/data")))
    args.add_argument("--int8", action="store_true", help="reader or corners with 8 bits instead of 32")
    args.add_argument("--out", type=pathlib.Path, help="another folder than models/NAME, for a trial; has no manifest")
    args = args.parse_args()
    torch.set_num_threads(1)
    folder = args.out or MODELS / FOLDERS[args.model]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    state = torch.load(args.work / f"{args.model}.pt", weights_only=True)
    if args.model == "reader":
        net = ReaderNet(len(scenes.REGIONS))
        net.load_state_dict(state["mean"])
        net.eval()
        temperature = fitted_temperature(net, train_reader.held_back(args.data, 3000))
        print("temperature", temperature)
        write(Read(net, temperature).eval(), torch.rand(3, 1, 48, 160), path, (["plate"], ["probs", "region", "lines"]), True)
        if args.int8:
            quantise(path, train_reader.held_back(args.data, 300, 999_979)[0])
    elif args.model == "corners":
        net = CornerNet()
        net.load_state_dict(state["mean"])
        write(net.eval(), torch.rand(3, 1, 48, 96), path, (["plate"], ["corners"]), True)
        if args.int8:
            example = train_corners.Make(args.data)(999_979)
            quantise(path, torch.tensor(np.stack([example(1.0)["grey"] for _ in range(300)]))[:, None].float() / 255)
    elif args.model == "objects-two":
        net = ObjectNet()
        net.load_state_dict(state["mean"])
        write(Mirrored(net).eval(), torch.rand(1, 1, *ObjectNet.SIZE[::-1]), path, (["image"], ["heat", "box"]), False)
    elif args.model == "objects-one":
        net = OnePass()
        net.load_state_dict(state["mean"])
        write(Both(net).eval(), torch.rand(1, 1, 384, 640), path, (["image"], ["heat", "box", "corners", "object_heat", "object_box"]), False)
    else:
        net = DetectorNet()
        net.begin(state["mean"])
        write(net.eval(), torch.rand(1, 1, *DetectorNet.RUN[::-1]), path, (["image"], ["heat", "box", "corners"]), False)
    if not args.out:
        fill_manifest(folder, sha256=f'"{hashlib.sha256(path.read_bytes()).hexdigest()}"')
    print(path, path.stat().st_size, "bytes, step", state["step"])


if __name__ == "__main__":
    main()
