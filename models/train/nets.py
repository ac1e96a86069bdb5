"""The networks: `ReaderNet` (plate crop to characters), `DetectorNet` (picture to plates), and two ways to find vehicles and
persons: `ObjectNet` (a net of its own at half the size) and `OnePass` (a head on the plate detector's features).

Both are plain convolutions with batch normalisation and ReLU, so that they run anywhere and fold into few ONNX nodes.
Their inputs and outputs are the contract of the manifests: see the model cards.
"""
import torch
from torch import nn
from torch.nn import functional as F

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def block(inputs: int, outputs: int, kernel=3, stride=1, padding=None) -> nn.Sequential:
    if padding is None:
        padding = kernel // 2 if isinstance(kernel, int) else tuple(k // 2 for k in kernel)
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.first = block(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        return F.relu(x + self.second(self.first(x)), inplace=True)


class ReaderNet(nn.Module):
    """[N,1,48,160] grey 0..1 to logits: text [N,40,37] (class 0 is CTC's blank, then `ALPHABET`), region [N,regions], two lines [N,1].

    The crop's mean and contrast are taken out first, so that a dark picture reads like a bright one.
    """

    def __init__(self, regions: int = 11, width: int = 64):
        super().__init__()
        w = width
        self.body = nn.Sequential(
            block(1, w // 2, 5, 2), block(w // 2, w // 2), block(w // 2, w, 3, 2),  # 24x80, 12x40
            Residual(w), block(w, w * 3 // 2, 3, (2, 1)), Residual(w * 3 // 2),  # 6x40
            block(w * 3 // 2, w * 2, 3, (2, 1)), block(w * 2, w * 2),  # 3x40
            block(w * 2, w * 5 // 2, (3, 3), 1, (0, 1)), nn.Dropout(0.1), block(w * 5 // 2, w * 5 // 2, (1, 5)))  # 1x40
        self.head = nn.Conv2d(w * 5 // 2, len(ALPHABET) + 1, 1)
        self.about = nn.Linear(w * 5, regions + 1)

    def forward(self, x):
        mean = x.mean((2, 3), keepdim=True)
        x = x - mean
        x = x / ((x * x).mean((2, 3), keepdim=True).sqrt() + 0.02)
        found = self.body(x)
        about = self.about(torch.cat([found.mean((2, 3)), found.amax((2, 3))], 1))
        return self.head(found).squeeze(2).transpose(1, 2), about[:, :-1], about[:, -1:]


class CornerNet(nn.Module):
    """[N,1,48,96] grey 0..1, a found plate with its surroundings, to its corners [N,8]: x, y of top left, top right, bottom right,
    bottom left, -1..1 across the crop."""

    def __init__(self, width: int = 24):
        super().__init__()
        w = width
        self.body = nn.Sequential(block(1, w, 5, 2), block(w, w * 2, 3, 2), Residual(w * 2), block(w * 2, w * 3, 3, 2), Residual(w * 3),  # 6x12
                                  block(w * 3, w * 4, 3, 1), block(w * 4, w, 1))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(w * 72, 96), nn.ReLU(inplace=True), nn.Linear(96, 8))

    def forward(self, x):
        x = x - x.mean((2, 3), keepdim=True)
        x = x / ((x * x).mean((2, 3), keepdim=True).sqrt() + 0.02)
        return self.head(self.body(x))


class DetectorNet(nn.Module):
    """[N,1,H,W] luma 0..1 to heat [N,1,H/8,W/8], box [N,4,...] and corners [N,8,...] in pixels of the input.

    Shipped for an input of `RUN`: a plate of 40 pixels in a picture 1,280 wide then has 28, at 640 it had 20.
    Context comes from strides 16, 32 and 64, so that a plate over half the picture is seen as one. With `raw` heat is a logit.
    """

    RUN = (896, 512)

    def __init__(self, width: int = 48):
        super().__init__()
        w = width
        self.stem = nn.Sequential(block(1, 16, 3, 2), block(16, 24, 3, 2))
        self.s8 = nn.Sequential(block(24, w, 3, 2), Residual(w))
        self.s16 = nn.Sequential(block(w, 80, 3, 2), Residual(80))
        self.s32 = nn.Sequential(block(80, 96, 3, 2), block(96, 96), block(96, 80, 1))
        self.s64 = nn.Sequential(block(80, 96, 3, 2), block(96, 96), block(96, 96), nn.Conv2d(96, 80, 1))
        nn.init.zeros_(self.s64[-1].weight)  # adds nothing at first: a checkpoint from before goes on as it was
        nn.init.zeros_(self.s64[-1].bias)
        self.up16 = block(80, w, 1)
        self.merge = block(w, 64)
        self.head = nn.Conv2d(64, 1 + 4 + 8, 1)
        nn.init.constant_(self.head.bias, 0.0)
        self.head.bias.data[0] = -4.0
        self.head.bias.data[1:5] = 2.0

    def begin(self, weights: dict):
        """Weights of this net, or of one from before stride 64."""
        self.load_state_dict({**{k: v for k, v in self.state_dict().items() if k.startswith("s64.")}, **weights})

    def forward(self, x, raw: bool = False):
        return self.found(*self.features(x), raw)

    def features(self, x):
        """Those at strides 8 and 16."""
        at8 = self.s8(self.stem(x - 0.5))
        return at8, self.s16(at8)

    def found(self, at8, at16, raw: bool = False):
        at32 = self.s32(at16)
        far = F.interpolate(self.s64(at32), scale_factor=2.0, mode="nearest")
        at32 = at32 + far[:, :, :at32.shape[2], :at32.shape[3]]  # an odd grid has half a cell less
        at16 = at16 + F.interpolate(at32, scale_factor=2.0, mode="nearest")
        out = self.head(self.merge(at8 + F.interpolate(self.up16(at16), scale_factor=2.0, mode="nearest")))
        heat, box, corners = out[:, :1], torch.exp(torch.clamp(out[:, 1:5].float(), max=6.5)), out[:, 5:]
        half_w, half_h = (box[:, 0:1] + box[:, 2:3]) / 2, (box[:, 1:2] + box[:, 3:4]) / 2
        corners = corners.float() * torch.cat([half_w, half_h] * 4, 1)  # relative to the box: one scale for all sizes
        return (heat if raw else torch.sigmoid(heat)), box, corners


class Pyramid(nn.Module):
    """Features of `width` channels to heat and box on the same grid; context from grids of a half, a quarter and an eighth."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        self.down2 = nn.Sequential(block(width, 96, 3, 2), Residual(96))
        self.down4 = nn.Sequential(block(96, 112, 3, 2), block(112, 112))
        self.down8 = nn.Sequential(block(112, 112, 3, 2), block(112, 112), block(112, 112, 1))
        self.up4 = block(112, 96, 1)
        self.up2 = block(96, width, 1)
        self.merge = block(width, 64)
        self.head = nn.Conv2d(64, classes + 4, 1)
        self.classes = classes
        nn.init.constant_(self.head.bias, 0.0)
        self.head.bias.data[:classes] = -4.0
        self.head.bias.data[classes:] = 1.0

    def forward(self, x, unit: float, raw: bool = False):
        """`unit` is the grid's stride in pixels of the input; boxes are predicted in it."""
        at2 = self.down2(x)
        at4 = self.down4(at2)
        at4 = at4 + F.interpolate(self.down8(at4), scale_factor=2.0, mode="nearest")
        at2 = at2 + F.interpolate(self.up4(at4), scale_factor=2.0, mode="nearest")
        out = self.head(self.merge(x + F.interpolate(self.up2(at2), scale_factor=2.0, mode="nearest")))
        heat = out[:, :self.classes]
        box = torch.exp(torch.clamp(out[:, self.classes:].float(), max=4.5)) * unit
        return (heat if raw else torch.sigmoid(heat)), box


class ObjectNet(nn.Module):
    """[N,1,H,W] luma 0..1 to heat [N,classes,H/8,W/8] and box [N,4,...] in pixels of the input. Its stem is the plate detector's.

    Trained on windows of 384 x 256, and before on some of 256 x 192; run at `SIZE`.
    """

    STRIDE, SIZE = 8, (448, 256)

    def __init__(self, classes: int = 5, width: int = 48):
        super().__init__()
        self.stem = nn.Sequential(block(1, 16, 3, 2), block(16, 24, 3, 2))
        self.s8 = nn.Sequential(block(24, width, 3, 2), Residual(width))
        self.pyramid = Pyramid(width, classes)

    def begin(self, plates: dict):
        """The stem from a plate detector's weights."""
        own = self.state_dict()
        own.update({k: v for k, v in plates.items() if k.startswith(("stem.", "s8."))})
        self.load_state_dict(own)

    def forward(self, x, raw: bool = False):
        return self.pyramid(self.s8(self.stem(x - 0.5)), 8.0, raw)


class OnePass(nn.Module):
    """The plate detector with a second head: heat [N,classes,H/16,W/16] and box for objects, from its own features.

    The detector's weights stay as they are, so that plates are found as without the head, bit for bit.
    """

    STRIDE, SIZE = 16, (640, 384)

    def __init__(self, classes: int = 5):
        super().__init__()
        self.plates = DetectorNet()
        self.plates.requires_grad_(False)
        self.base = nn.Sequential(block(48 + 80, 64, 1), block(64, 64))
        self.pyramid = Pyramid(64, classes)

    def begin(self, plates: dict):
        self.plates.begin(plates)

    def train(self, mode: bool = True):
        super().train(mode)
        self.plates.eval()  # its running means stay, too
        return self

    def forward(self, x, raw: bool = False):
        return self.found(*self.plates.features(x), raw)

    def found(self, at8, at16, raw: bool = False):
        return self.pyramid(self.base(torch.cat([F.avg_pool2d(at8, 2), at16], 1)), 16.0, raw)

    def both(self, x):
        """Plates' heat, box and corners, then objects' heat and box."""
        features = self.plates.features(x)
        return (*self.plates.found(*features), *self.found(*features))
