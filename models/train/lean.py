"""Makes a quantised detector's graph cheaper; what it computes changes by less rounding alone: `lean.py IN.onnx OUT.onnx`, and `quantise.py` does it.

Half of an eight-bit detector's time went into what is no convolution, and a fifth into the first one:

- ONNX Runtime's quantiser rounds each convolution's sum before its ReLU and again after it, with a way through floats between them. Rounded to
  unsigned bytes whose zero is 0, negative values are 0 already: the ReLU and the first rounding go.
- Behind the head, which is floats, nothing is rounded.
- What a nearest-neighbour resize gives has the scale of what it was given, so it stays bytes.
- A first convolution of one channel finds no fast kernel. Pixels of blocks of `BLOCK` become channels (space to depth), of which one run
  makes two columns of the output; the weights are the same ones in other places. The box writes its bytes in that order, so the graph takes
  luma 0..255 as `[1, H/2, W/4, 8]` and converts nothing.
"""
import pathlib
import sys

import numpy as np
import onnx
from onnx import helper, numpy_helper

BLOCK = (4, 2)  # width and height, pixels
UNIT = 64  # pixels; the coarsest grid's cell


class Graph:
    def __init__(self, model: onnx.ModelProto):
        self.model, self.graph = model, model.graph
        self.values = {i.name: i for i in self.graph.initializer}

    def value(self, name: str) -> np.ndarray:
        return numpy_helper.to_array(self.values[name])

    def put(self, name: str, value) -> str:
        tensor = numpy_helper.from_array(np.array(value), name)
        if name in self.values:
            self.values[name].CopyFrom(tensor)
        else:
            self.graph.initializer.append(tensor)
            self.values[name] = self.graph.initializer[-1]
        return name

    def users(self, name: str) -> list:
        return [n for n in self.graph.node if name in n.input]

    def maker(self, name: str):
        return next((n for n in self.graph.node if name in n.output), None)

    def of(self, kind: str) -> list:
        return [n for n in self.graph.node if n.op_type == kind]

    def add(self, kind: str, inputs: list, output: str, **attributes) -> str:
        self.graph.node.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def remove(self, *nodes):
        for node in nodes:
            self.graph.node.remove(node)

    def rewire(self, old: str, new: str):
        for node in self.graph.node:
            node.input[:] = [new if name == old else name for name in node.input]

    def tidied(self) -> onnx.ModelProto:
        """The model with its nodes in order of use and without values that nobody uses."""
        used = {name for node in self.graph.node for name in node.input}
        for value in [v for v in self.graph.initializer if v.name not in used]:
            self.graph.initializer.remove(value)
        known = {"", *(v.name for v in self.graph.initializer), *(i.name for i in self.graph.input)}
        rest, ordered = list(self.graph.node), []
        while rest:
            node = next(n for n in rest if all(name in known for name in n.input))
            rest.remove(node)
            ordered.append(node)
            known.update(node.output)
        del self.graph.node[:], self.graph.value_info[:]
        self.graph.node.extend(ordered)
        onnx.checker.check_model(self.model)
        return self.model


def drop_relus(g: Graph):
    for relu in g.of("Relu"):
        back = g.maker(relu.input[0])
        rounding = back and g.maker(back.input[0])
        if not rounding or rounding.op_type != "QuantizeLinear" or len(g.users(back.output[0])) > 1:
            continue
        after = g.users(relu.output[0])
        if [n.op_type for n in after] == ["QuantizeLinear"] and g.value(after[0].input[2]) == 0:
            after[0].input[0] = rounding.input[0]
            g.remove(relu, back, rounding)
            continue
        # Read as floats: the same upper end, and zero at 0.
        scale, zero = float(g.value(rounding.input[1])), int(g.value(rounding.input[2]))
        names = [g.put(f"{relu.output[0]}_scale", np.float32((255 - zero) * scale / 255)), g.put(f"{relu.output[0]}_zero", np.uint8(0))]
        for node in (rounding, back):
            node.input[1:] = names
        g.rewire(relu.output[0], back.output[0])
        g.remove(relu)


def keep_floats_after_head(g: Graph):
    """What the last convolution gives stays in floats to the end: a rounded side of a box is a pixel, a rounded 0.001 a division by 0."""
    names = set(g.of("Conv")[-1].output)
    for node in list(g.graph.node):  # in order of use
        if not names.intersection(node.input):
            continue
        names.update(node.output)
        if node.op_type == "DequantizeLinear":
            rounding = g.maker(node.input[0])
            g.rewire(node.output[0], rounding.input[0])
            g.remove(node, rounding)


def keep_bytes_when_resizing(g: Graph):
    for resize in g.of("Resize"):
        back = g.maker(resize.input[0])
        if back.op_type != "DequantizeLinear":
            continue
        for rounding in (n for n in g.users(resize.output[0]) if n.op_type == "QuantizeLinear"):
            for node in (rounding, *g.users(rounding.output[0])):
                node.input[1:] = back.input[1:]


def free_sides(g: Graph):
    """Sides of any multiple of `UNIT`: there nothing sticks out of a grid that was doubled and would have to be cut off."""
    for cut in g.of("Slice"):
        if g.maker(cut.input[0]).op_type == "DequantizeLinear":
            rounding = g.users(cut.output[0])[0]
            back = g.users(rounding.output[0])[0]
            g.rewire(back.output[0], cut.input[0])
            g.remove(cut, rounding, back)
    for output in g.graph.output:
        for place, name in ((2, "rows"), (3, "columns")):
            output.type.tensor_type.shape.dim[place].dim_param = name


def folded_weights(weights: np.ndarray) -> np.ndarray:
    """3 x 3 at a stride of 2 over one channel as 2 x 2 over blocks, two outputs side by side."""
    wide, high = BLOCK
    outputs, side = weights.shape[0], wide // 2
    folded = np.zeros((side * outputs, wide * high, 2, 2), np.int8)
    for place in range(side):
        for row in range(3):
            for column in range(3):
                x, y = 2 * place + column - 1, row - 1
                block = int(y >= 0), int(x >= 0)
                folded[place * outputs:(place + 1) * outputs, y % high * wide + x % wide, block[0], block[1]] = weights[:, 0, row, column]
    return folded


def fold_stem(g: Graph):
    conv = g.of("Conv")[0]
    back = g.maker(conv.input[0])
    rounding = g.maker(back.input[0])
    sub = g.maker(rounding.input[0])
    image = g.graph.input[0]
    height, width = (d.dim_value for d in image.type.tensor_type.shape.dim[2:])
    mirror = g.maker(sub.input[0])
    weights, bias = g.maker(conv.input[1]), g.maker(conv.input[2])
    quantised, side = g.value(weights.input[0]), BLOCK[0] // 2
    # A byte is (byte - 128) / 255 from now on: what that and `image - 0.5` differ by goes into the bias.
    unit = np.float32(1 / 255)
    back.input[1:] = [g.put("image_scale", unit), g.put("image_zero", np.uint8(128))]
    scales, steps = g.value(weights.input[1]).astype(np.float64), g.value(bias.input[1]).astype(np.float64)
    value = g.value(bias.input[0]) * steps + (128 / 255 - 0.5) * quantised.astype(np.float64).sum((1, 2, 3)) * scales
    steps = unit * scales
    g.put(weights.input[0], folded_weights(quantised))
    g.put(bias.input[0], np.tile(np.round(value / steps).astype(np.int32), side))
    g.put(bias.input[1], np.tile(steps.astype(np.float32), side))
    for name in (*weights.input[1:], bias.input[2]):
        g.put(name, np.tile(g.value(name), side))
    for attribute in conv.attribute:
        new = {"kernel_shape": [2, 2], "strides": [1, 1], "pads": [1, 1, 0, 0]}.get(attribute.name)
        if new:
            attribute.ints[:] = new
    name = image.name
    sides = (height // BLOCK[1], width // BLOCK[0]) if mirror else ("blocks_down", "blocks_across")
    del g.graph.input[:]
    g.graph.input.append(helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, [1, *sides, BLOCK[0] * BLOCK[1]]))
    g.remove(sub, rounding)
    if mirror:
        g.remove(mirror)
        name = mirrored(g, name)
    back.input[0] = g.add("Transpose", [name], "image_planes", perm=[0, 3, 1, 2])
    # The two outputs side by side are columns again; bytes move nowhere, since the runtime keeps channels last.
    rounded = g.users(conv.output[0])[0]
    g.put("stem_shape", np.array([0, 0, -1, quantised.shape[0]]))
    last = g.add("Transpose", [rounded.output[0]], "stem_last", perm=[0, 2, 3, 1])
    columns = g.add("Reshape", [last, "stem_shape"], "stem_columns")
    g.users(rounded.output[0])[0].input[0] = g.add("Transpose", [columns], "stem_planes", perm=[0, 3, 1, 2])


def mirrored(g: Graph, name: str) -> str:
    """The folded picture, and its mirror image after it."""
    order = np.arange(BLOCK[0] * BLOCK[1]).reshape(BLOCK[1], BLOCK[0])[:, ::-1].ravel()
    g.put("mirror_order", order)
    for key, value in (("from", -1), ("to", np.iinfo(np.int64).min), ("axis", 2), ("step", -1)):
        g.put(f"mirror_{key}", np.array([value], np.int64))
    blocks = g.add("Slice", [name, "mirror_from", "mirror_to", "mirror_axis", "mirror_step"], "mirror_blocks")
    return g.add("Concat", [name, g.add("Gather", [blocks, "mirror_order"], "mirror_pixels", axis=3)], "image_both", axis=0)


def folded(image: np.ndarray) -> np.ndarray:
    """A picture of 0..1 as the bytes that the graph takes."""
    wide, high = BLOCK
    rows, columns = image.shape[0] // high, image.shape[1] // wide
    bytes_ = np.clip(np.round(image * 255), 0, 255).astype(np.uint8)
    return bytes_.reshape(rows, high, columns, wide).transpose(0, 2, 1, 3).reshape(1, rows, columns, wide * high)


def mirror_of(nodes) -> list[str]:
    """Names of the nodes that make a picture's mirror image, in a graph whose first convolution is after its `Concat`."""
    first = next(k for k, node in enumerate(nodes) if node.op_type == "Conv")
    return [node.name for node in nodes[:first] if node.op_type in ("Slice", "Concat")]


def lean(model: onnx.ModelProto) -> onnx.ModelProto:
    g = Graph(model)
    drop_relus(g)
    keep_floats_after_head(g)
    keep_bytes_when_resizing(g)
    if not mirror_of(g.graph.node):
        free_sides(g)
    fold_stem(g)
    return g.tidied()


if __name__ == "__main__":
    source, target = map(pathlib.Path, sys.argv[1:])
    onnx.save(lean(onnx.load(str(source))), str(target))
