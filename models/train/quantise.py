"""A detector in eight bits: `quantise.py plates-1` (or `objects-1`) rewrites its `model.onnx` and the manifest's digest.

Weights and activations of the convolutions become eight-bit integers, scaled by the ranges seen on real pictures that may be
trained on; the head stays in floating point, since an eighth bit of a corner is a pixel. Weights use seven of the bits, so
that processors without VNNI do not overflow. Then `lean.py` takes out what the graph need not do, and the input becomes folded
bytes. Outputs and thresholds stay as they were.
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
import lean
import objects

PICTURES = 60


class Pictures(quantization.CalibrationDataReader):
    """A detector's input of some real pictures that may be trained on."""

    def __init__(self, pictures, size):
        self.rows, self.size = iter(pictures), size

    def get_next(self):
        grey = next(self.rows, None)
        return None if grey is None else {"image": evaluate.letterbox(grey, self.size)[0][None, None]}


def streets(data: pathlib.Path) -> list:
    """Pictures with plates."""
    folder = data / "train-plates"
    names = [json.loads(line)["file"] for line in (folder / "labels.jsonl").read_text().splitlines()]
    names = [folder / name for name in names if name.startswith(("oi/", "ro/"))]
    return [cv2.imread(str(name), cv2.IMREAD_GRAYSCALE) for name in names[::max(1, len(names) // PICTURES)]]


def vehicles(data: pathlib.Path) -> list:
    """Pictures with vehicles, none of those set aside."""
    rows = objects.Pictures(data).rows
    return [cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) for _, picture, _ in rows[::max(1, len(rows) // PICTURES)]]


PICTURES_OF = {"plates-1": streets, "objects-1": vehicles}


def quantised(path: pathlib.Path, out: pathlib.Path, pictures: list):
    size = tuple(d.dim_value for d in onnx.load(str(path)).graph.input[0].type.tensor_type.shape.dim)[:1:-1]
    with tempfile.TemporaryDirectory() as folder:
        ready, rounded = pathlib.Path(folder) / "ready.onnx", pathlib.Path(folder) / "rounded.onnx"
        quant_pre_process(str(path), str(ready))
        nodes = onnx.load(str(ready)).graph.node
        head = [node.name for node in nodes if node.op_type == "Conv"][-1]
        # The mirror image of a picture is made of its bytes, so what makes it is not rounded.
        quantization.quantize_static(str(ready), str(rounded), Pictures(pictures, size), quant_format=quantization.QuantFormat.QDQ, per_channel=True, reduce_range=True,
                                     op_types_to_quantize=["Conv", "Add", "Resize", "Slice"], nodes_to_exclude=[head, *lean.mirror_of(nodes)],
                                     weight_type=quantization.QuantType.QInt8, activation_type=quantization.QuantType.QUInt8)
        onnx.save(lean.lean(onnx.load(str(rounded))), str(out))


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("name", choices=list(PICTURES_OF))
    args.add_argument("--data", type=pathlib.Path, default=pathlib.Path(os.environ.get("WATCHPOST_DATA", "../shared/data")))
    args.add_argument("--model", type=pathlib.Path, help="another file than the shipped one, for a trial")
    args.add_argument("--out", type=pathlib.Path, help="another file to write, for a trial; the manifest stays")
    args = args.parse_args()
    folder = export.MODELS / args.name
    path, out = args.model or folder / "model.onnx", args.out or folder / "model.onnx"
    quantised(path, out, PICTURES_OF[args.name](args.data))
    if not args.out:
        export.fill_manifest(folder, sha256=f'"{hashlib.sha256(out.read_bytes()).hexdigest()}"')
    print(out, out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
