"""The detector in eight bits: `quantise.py [--data FOLDER]` rewrites `plates-1/model.onnx` and its manifest's digest.

Weights and activations of the convolutions become eight-bit integers, scaled by the ranges seen on real pictures that may be
trained on; the head stays in floating point, since an eighth bit of a corner is a pixel. Weights use seven of the bits, so
that processors without VNNI do not overflow. Input, outputs and thresholds stay as they were.
"""
import argparse
import hashlib
import json
import os
import pathlib
import tempfile

import cv2
import onnx
import onnxruntime.quantization as quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

import evaluate
import export

PICTURES = 60


class Pictures(quantization.CalibrationDataReader):
    """The detector's input of some real pictures that may be trained on."""

    def __init__(self, data: pathlib.Path, size):
        folder = data / "train-plates"
        names = [json.loads(line)["file"] for line in (folder / "labels.jsonl").read_text().splitlines()]
        names = [folder / name for name in names if name.startswith(("oi/", "ro/"))]
        self.rows = iter([cv2.imread(str(name), cv2.IMREAD_GRAYSCALE) for name in names[::max(1, len(names) // PICTURES)]])
        self.size = size

    def get_next(self):
        grey = next(self.rows, None)
        return None if grey is None else {"image": evaluate.letterbox(grey, self.size)[0][None, None]}


def quantised(path: pathlib.Path, out: pathlib.Path, data: pathlib.Path):
    size = tuple(d.dim_value for d in onnx.load(str(path)).graph.input[0].type.tensor_type.shape.dim)[:1:-1]
    with tempfile.TemporaryDirectory() as folder:
        ready = pathlib.Path(folder) / "ready.onnx"
        quant_pre_process(str(path), str(ready))
        nodes = onnx.load(str(ready)).graph.node
        head = [node.name for node in nodes if node.op_type == "Conv"][-1]
        quantization.quantize_static(str(ready), str(out), Pictures(data, size), quant_format=quantization.QuantFormat.QDQ, per_channel=True, reduce_range=True,
                                     op_types_to_quantize=["Conv", "Add", "Resize", "Slice"], nodes_to_exclude=[head],
                                     weight_type=quantization.QuantType.QInt8, activation_type=quantization.QuantType.QUInt8)


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--data", type=pathlib.Path, default=pathlib.Path(os.environ.get("WATCHPOST_DATA", "../shared/data")))
    args.add_argument("--model", type=pathlib.Path, help="another file than plates-1's, for a trial")
    args.add_argument("--out", type=pathlib.Path, help="another file to write, for a trial; the manifest stays")
    args = args.parse_args()
    folder = export.MODELS / "plates-1"
    path, out = args.model or folder / "model.onnx", args.out or folder / "model.onnx"
    quantised(path, out, args.data)
    if not args.out:
        export.fill_manifest(folder, sha256=f'"{hashlib.sha256(out.read_bytes()).hexdigest()}"')
    print(out, out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
