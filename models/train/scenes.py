"""Puts drawn plates where cameras find them: in a holder or frame, on something, seen at an angle.

`mounted` gives a plate with its surroundings and corners, `crop` the reader's input with its text. The backgrounds come from
the vehicle pictures whose licence allows it (`Backgrounds`); no picture with a real plate's text is used for reading.
"""
import json
import pathlib
from dataclasses import dataclass

import cv2
import numpy as np

import coded
import degrade
import glyphs
import fonts
import plates
import series

READER_SIZE = (160, 48)
MARGIN = (0.06, 0.1)  # of the plate's width and height, on each side: the reader's crop


class Backgrounds:
    """Grey street pictures with their vehicles' boxes; random patches of them."""

    def __init__(self, data: pathlib.Path, folders=("hwy", "atl"), limit: int | None = None):
        self.pictures, self.vehicles = [], []
        for line in (data / "vehicles" / "labels.jsonl").read_text().splitlines()[:limit]:
            row = json.loads(line)
            if row["file"].split("/")[0] not in folders:
                continue
            grey = cv2.imread(str(data / "vehicles" / row["file"]), cv2.IMREAD_GRAYSCALE)
            if grey is not None:
                self.pictures.append(grey)
                self.vehicles.append([b["box"] for b in row["boxes"] if b["label"] != "person"])

    def patch(self, rng, w: int, h: int) -> np.ndarray:
        """A patch of w x h, of a random scale, mirrored at times."""
        grey = self.pictures[int(rng.integers(len(self.pictures)))]
        gh, gw = grey.shape
        scale = min(gw / w, gh / h) * rng.uniform(0.15, 0.9)
        pw, ph = max(2, round(w * scale)), max(2, round(h * scale))
        x, y = int(rng.integers(max(1, gw - pw))), int(rng.integers(max(1, gh - ph)))
        out = cv2.resize(grey[y:y + ph, x:x + pw], (w, h), interpolation=cv2.INTER_LINEAR)
        return out[:, ::-1] if rng.random() < 0.5 else out


def to_grey(rng, rgb: np.ndarray) -> np.ndarray:
    """Luma of most cameras; at times other weights, as infrared light gives."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    if rng.random() < 0.25:
        weights = rng.dirichlet((2, 2, 2)).astype(np.float32)
    return cv2.transform(rgb, weights[None]).reshape(rgb.shape[:2])


def print_line(rng, grey, text, x, y, height, value, widest):
    """One line of lettering with its left end at x, centred at y."""
    paths = fonts.faces("lettering")
    if height < 4 or not paths:
        return
    mask = glyphs.line_mask(text, paths[int(rng.integers(len(paths)))], 24)
    scale = min(height / 24, widest / mask.shape[1])
    mask = cv2.resize(mask, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    h, w = mask.shape
    x, y = int(x + max(0, widest - w) * rng.uniform(.2, .8)), int(y - h / 2)
    part = grey[max(0, y):y + h, max(0, x):x + w]
    if part.size:
        m = mask[max(0, -y):max(0, -y) + part.shape[0], max(0, -x):max(0, -x) + part.shape[1]].astype(np.float32) / 255
        part[:] = (part + (value - part.astype(np.float32)) * m).astype(np.uint8)


def mounted(rng, plate: plates.Plate, backgrounds: Backgrounds, d: float, around: float = 0.35) -> tuple[np.ndarray, np.ndarray]:
    """The plate in its surroundings and its corners (TL, TR, BR, BL) there."""
    grey = to_grey(rng, plate.rgb)
    h, w = grey.shape
    mx, my = round(w * around * .6), round(h * around * 1.6)
    if rng.random() < 0.5:
        canvas = backgrounds.patch(rng, w + 2 * mx, h + 2 * my)
        canvas = np.ascontiguousarray(canvas)
    else:
        a, b = rng.uniform(0, 255, 2)
        ramp = np.linspace(a, a + (b - a) * .4, h + 2 * my)
        canvas = np.repeat(np.clip(ramp, 0, 255).astype(np.uint8)[:, None], w + 2 * mx, 1)
        for _ in range(int(rng.integers(0, 4))):  # edges of a bumper, lamps, a boot lid
            y = int(rng.choice([rng.uniform(0, my), rng.uniform(my + h, h + 2 * my)]))
            cv2.line(canvas, (0, y + int(rng.normal(0, 3))), (w + 2 * mx, y + int(rng.normal(0, 3))), float(rng.uniform(0, 255)), int(rng.integers(1, 9)), cv2.LINE_AA)
    framed = rng.random()
    if framed < 0.6:
        sides = rng.uniform(0.0, rng.choice([0.05, 0.2]), 2) * h
        top, bottom = rng.uniform(0.01, 0.12) * h, rng.uniform(0.01, 0.28) * h
        shade = float(rng.choice([rng.uniform(5, 60), rng.uniform(120, 255)], p=[.75, .25]))
        cv2.rectangle(canvas, (round(mx - sides[0] - 2), round(my - top)), (round(mx + w + sides[1] + 2), round(my + h + bottom)), shade, -1)
        lettered = float(255 - shade if abs(shade - 128) > 40 else 255)
        if bottom > 0.09 * h and rng.random() < 0.8:
            print_line(rng, canvas, series.DEALERS[int(rng.integers(len(series.DEALERS)))], mx, my + h + bottom / 2, bottom * rng.uniform(.5, .9), lettered, w)
        if top > 0.08 * h and rng.random() < 0.6:
            print_line(rng, canvas, series.DEALERS[int(rng.integers(len(series.DEALERS)))], mx, my - top / 2, top * rng.uniform(.5, .9), lettered, w)
    radius = h * rng.uniform(0, 0.12)
    mask = np.zeros((h, w), np.uint8)
    r = round(radius)
    cv2.rectangle(mask, (r, 0), (w - 1 - r, h - 1), 255, -1)
    cv2.rectangle(mask, (0, r), (w - 1, h - 1 - r), 255, -1)
    for x, y in ((r, r), (w - 1 - r, r), (r, h - 1 - r), (w - 1 - r, h - 1 - r)):
        cv2.circle(mask, (x, y), r, 255, -1)
    part = canvas[my:my + h, mx:mx + w]
    cv2.copyTo(grey, mask, part)
    if framed < (0.35 if plate.region == "us" else 0.2):  # a frame that covers the plate's edge
        lip, high = max(1, round(h * rng.uniform(.02, .07))), round(h * rng.uniform(.02, .2))
        covers = plate.region == "us" or high < h * .06
        cv2.rectangle(canvas, (mx, my), (mx + w, my + h), shade, lip)
        cv2.line(canvas, (mx, my), (mx, my + h), shade, round(lip * rng.uniform(1, 2.5)))
        if covers and rng.random() < 0.5:
            cv2.rectangle(canvas, (mx, my + h - high), (mx + w, my + h), shade, -1)
            print_line(rng, canvas, series.DEALERS[int(rng.integers(len(series.DEALERS)))], mx, my + h - high / 2, high * .7, lettered, w)
        elif covers:
            cv2.rectangle(canvas, (mx, my), (mx + w, my + min(high, round(h * .16))), shade, -1)
    canvas = degrade.soil(rng, canvas, d)
    corners = np.array([(mx, my), (mx + w, my), (mx + w, my + h), (mx, my + h)], np.float32)
    return canvas, corners


def tilt(rng, w: float, h: float, d: float, turned: float | None = None) -> np.ndarray:
    """Corners of a w x h plate seen at an angle (`turned` radians about the vertical, random if None), around the origin."""
    yaw, pitch, roll = rng.normal(0, 0.08 + 0.25 * d), rng.normal(0, 0.05 + 0.18 * d), rng.normal(0, 0.02 + 0.06 * d)
    if rng.random() < 0.06 * d:  # up to 50 degrees
        yaw = rng.uniform(0.5, 0.87) * rng.choice((-1, 1))
    if turned is not None:
        yaw = turned
    yaw, pitch = np.clip(yaw, -.87, .87), np.clip(pitch, -.7, .7)
    points = np.array([(-w, -h, 0), (w, -h, 0), (w, h, 0), (-w, h, 0)], float) / 2
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    turn = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]]) @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    points = points @ turn.T
    points[:, 0] += points[:, 1] * rng.normal(0, 0.03 + 0.06 * d)  # shear
    far = w * rng.uniform(4, 20)
    return (points[:, :2] * (far / (far + points[:, 2:]))).astype(np.float32)


def widened(corners: np.ndarray, margin=MARGIN) -> np.ndarray:
    """Corners moved outwards by a share of the plate's sides, as the box does before it reads."""
    tl, tr, br, bl = corners
    x, y = margin
    return np.array([tl + (tl - tr) * x + (tl - bl) * y, tr + (tr - tl) * x + (tr - br) * y,
                     br + (br - bl) * x + (br - tr) * y, bl + (bl - br) * x + (bl - tl) * y], np.float32)


def rectified(grey: np.ndarray, corners: np.ndarray, size=READER_SIZE, margin=MARGIN) -> np.ndarray:
    """The crop between four corners, warped to the reader's input; sampled finer and averaged where it shrinks, as the box does."""
    w, h = size
    wide = widened(corners, margin)
    across, down = np.linalg.norm(wide[[1, 2]] - wide[[0, 3]], axis=1).mean(), np.linalg.norm(wide[[3, 2]] - wide[[0, 1]], axis=1).mean()
    fx, fy = int(np.clip(round(across / w), 1, 6)), int(np.clip(round(down / h), 1, 6))
    target = np.array([(0, 0), (w * fx, 0), (w * fx, h * fy), (0, h * fy)], np.float32) - 0.5
    out = cv2.warpPerspective(grey, cv2.getPerspectiveTransform(wide, target), (w * fx, h * fy), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return out if fx * fy == 1 else cv2.resize(out, size, interpolation=cv2.INTER_AREA)


def shrunk(grey: np.ndarray, corners: np.ndarray, target: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture warped so that `corners` come to `target`, without aliasing where it shrinks."""
    ratio = np.linalg.norm(target[1] - target[0]) / np.linalg.norm(corners[1] - corners[0])
    if ratio < 0.75:
        grey2 = cv2.resize(grey, None, fx=ratio * 1.2, fy=ratio * 1.2, interpolation=cv2.INTER_AREA)
        corners = corners * np.array([grey2.shape[1] / grey.shape[1], grey2.shape[0] / grey.shape[0]], np.float32)
        grey = grey2
    return cv2.warpPerspective(grey, cv2.getPerspectiveTransform(corners.astype(np.float32), target.astype(np.float32)), size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def seen(rng, plate, backgrounds, d, char_height: float | None = None, turned: float | None = None, around: float = 0.35) -> tuple[np.ndarray, np.ndarray]:
    """A camera's view of the plate: grey picture of the plate and a little around it, and its corners. Characters are `char_height` pixels
    high before the plate is turned by `turned` radians; both random if None. `around` is how much of the surroundings is drawn."""
    canvas, corners = mounted(rng, plate, backgrounds, d, around)
    aspect = plate.rgb.shape[1] / plate.rgb.shape[0]
    if char_height is None:
        least = 26 - 17.5 * d  # small plates are the common ones
        char_height = float(least * (70 / least) ** (rng.random() ** 1.6))
    drawn = np.mean([y1 - y0 for _, _, y0, _, y1 in plate.chars]) / plate.rgb.shape[0]
    high = char_height / max(drawn, .3)
    wide = high * aspect * (rng.uniform(.85, 1.15) if rng.random() < .3 else 1)
    quad = tilt(rng, wide, high, d, turned)
    edge = np.array([wide * around * .3 + 3, high * around * .9 + 3])
    low = quad.min(0) - edge - rng.uniform(0, 8, 2)
    size = np.ceil(quad.max(0) + edge - low).astype(int)
    quad = (quad - low).astype(np.float32)
    view = shrunk(canvas, corners, quad, (int(size[0]), int(size[1])))
    most = char_height / 8 if rng.random() < 0.15 else min(1.8, char_height / 11)  # at times a small picture that was enlarged
    return degrade.camera(rng, view, d, most_blur=min(most, 4.0)), quad


def jitter(rng, quad: np.ndarray, d: float) -> np.ndarray:
    """The detector's own errors: each corner, the whole, and at times the plain box instead of corners."""
    w, h = np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[3] - quad[0])
    if rng.random() < 0.2:
        (x0, y0), (x1, y1) = quad.min(0), quad.max(0)
        quad = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float32)
    each = np.array([w * .012 + .3, h * .03 + .3]) * (0.4 + 0.9 * d)
    quad = quad + rng.normal(0, 1, (4, 2)) * each
    centre = quad.mean(0)
    grow = np.array([np.exp(rng.normal(0.0, .04)), np.exp(rng.normal(0.02, .09))])
    quad = (quad - centre) * grow + centre + rng.normal(0, 1, 2) * np.array([w * .015, h * .04]) * (0.4 + 0.8 * d)
    return quad.astype(np.float32)


def negative(rng, backgrounds, d) -> np.ndarray:
    """A crop that is no plate: street, and lines of small print."""
    w, h = READER_SIZE
    grey = np.ascontiguousarray(backgrounds.patch(rng, w, h))
    if rng.random() < 0.3:
        base = rng.uniform(0, 255)
        grey[:] = np.clip(base + (grey.astype(np.float32) - 128) * rng.uniform(0, .4), 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        for y in np.linspace(8, h - 8, int(rng.integers(2, 4))):
            print_line(rng, grey, series.SLOGANS[int(rng.integers(len(series.SLOGANS)))] + " " + series.DEALERS[int(rng.integers(len(series.DEALERS)))],
                       rng.uniform(0, 20), y, rng.uniform(7, 12), float(rng.uniform(0, 255)), w * .9)
    return degrade.camera(rng, grey, d)


def halves(quad: np.ndarray, at: float = 0.5, over: float = 0.06) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the upper and the lower half of a two-line plate; each reaches `over` of the height into the other."""
    tl, tr, br, bl = quad
    down = lambda a, b, share: a + (b - a) * share
    upper = np.array([tl, tr, down(tr, br, at + over), down(tl, bl, at + over)], np.float32)
    lower = np.array([down(tl, bl, at - over), down(tr, br, at - over), br, bl], np.float32)
    return upper, lower


def half_crop(grey: np.ndarray, half: np.ndarray, lower: bool) -> np.ndarray:
    """A half warped to the reader's input, with the margin at its three outer edges only."""
    tl, tr, br, bl = half
    x, y = MARGIN
    y *= 1 / 0.56  # a share of the whole plate's height
    up, down = (0.0, y) if lower else (y, 0.0)
    wide = np.array([tl + (tl - tr) * x + (tl - bl) * up, tr + (tr - tl) * x + (tr - br) * up,
                     br + (br - bl) * x + (br - tr) * down, bl + (bl - br) * x + (bl - tl) * down], np.float32)
    return rectified(grey, wide, margin=(0, 0))


REGIONS = ["none", "us", "eu", "gb", "br", "ar", "in", "tr", "mx", "vn", "other"]
UNKNOWN = 255  # a label that does not count


@dataclass
class Crop:
    """A training crop: its picture, what the reader must read ("" where there is no plate; None where what it reads does not
    count), its region's number and whether it shows two lines."""
    grey: np.ndarray
    text: str | None
    region: int
    lines: int


def region_number(region: str) -> int:
    name = region.split("-")[0]
    return REGIONS.index(name if name in REGIONS else "other")


FAR = (5.5, 15.0)  # height of characters in pixels, where plates are filmed
FILMED = 0.55  # share of the crops that come from a film


def far_view(rng, plate, backgrounds, d) -> coded.View:
    """A small plate to be filmed, as the lens and the exposure leave it: twice its size, without noise."""
    height = float(FAR[0] * (FAR[1] / FAR[0]) ** rng.random())
    canvas, corners = mounted(rng, plate, backgrounds, d)
    drawn = np.mean([y1 - y0 for _, _, y0, _, y1 in plate.chars]) / plate.rgb.shape[0]
    high = coded.FINE * height / max(drawn, .3)
    wide = high * plate.rgb.shape[1] / plate.rgb.shape[0]
    quad = tilt(rng, wide, high, d * 0.7)
    edge = np.array([wide * .1 + 6, high * .3 + 6])
    low = quad.min(0) - edge
    size = np.ceil(quad.max(0) + edge - low).astype(int)
    quad = (quad - low).astype(np.float32)
    view = coded.View(rng, shrunk(canvas, corners, quad, (int(size[0]), int(size[1]))), quad)
    # An exposure of a share of the frame's time; what leaves nothing of a character to be seen is no lesson.
    along = view.step * rng.uniform(0.1, 1.0)
    most = min(6.5, height * rng.uniform(0.15, 0.75))
    along *= min(1.0, most / max(float(np.hypot(*along)), 1e-3)) * coded.FINE
    grey = cv2.GaussianBlur(view.grey, (0, 0), coded.FINE * rng.uniform(0.25, 0.4 + 0.05 * height))
    view.grey = degrade.light(rng, coded.smear(grey, tuple(along)), d * 0.55)
    return view


def stacked(rng, cells, error) -> np.ndarray:
    """The mean of a plate's crops in several frames, as the box lays them over each other: all cut out with about the same
    error, what registration leaves differs from frame to frame."""
    rest = rng.uniform(0.05, 0.5)
    crops = [rectified(grey, (quad + error + rng.normal(0, rest, 2) + rng.normal(0, rest / 3, (4, 2))).astype(np.float32)) for grey, quad in cells]
    return np.mean(crops, 0).round().astype(np.uint8)


class Crops:
    """The reader's training crops. Drawn plates are kept in a pool and each is seen several times; `filmed` is the share of small
    ones that come from a film."""

    def __init__(self, rng: np.random.Generator, backgrounds: Backgrounds, pool: int = 400, uses: int = 4, two_lines: float = 0.09, filmed: float = FILMED):
        self.rng, self.backgrounds, self.uses, self.two_lines, self.filmed = rng, backgrounds, uses, two_lines, filmed
        self.pool = [self.drawn() for _ in range(pool)]
        self.reel: list[Crop] = []

    def plate(self) -> plates.Plate:
        """One of the pool, which changes slowly."""
        k = int(self.rng.integers(len(self.pool)))
        if self.rng.random() < 1 / self.uses:
            self.pool[k] = self.drawn()
        return self.pool[k]

    def film(self, d: float):
        """Fills the reel with the crops of one film."""
        rng, canvas = self.rng, coded.CANVAS
        count = canvas[0] // coded.CELL[0] * (canvas[1] // coded.CELL[1])
        hardness = [float(d * rng.uniform(0.25, 1.0)) for _ in range(count)]
        shown = [self.plate() for _ in range(count)]
        views = [far_view(rng, plate, self.backgrounds, h) for plate, h in zip(shown, hardness)]
        backdrop = np.ascontiguousarray(self.backgrounds.patch(rng, *canvas))
        for plate, h, cells in zip(shown, hardness, coded.film(rng, views, backdrop)):
            grey, quad = cells[-1]
            error = jitter(rng, quad, h) - quad
            if plate.upper or rng.random() < 0.4:
                self.reel.append(self.crop(plate, grey, quad + error))
            else:
                self.reel.append(Crop(stacked(rng, cells, error), plate.text, region_number(plate.region), 0))

    def drawn(self) -> plates.Plate:
        return plates.render(self.rng, two_lines=bool(self.rng.random() < self.two_lines))

    def next(self, d: float) -> Crop:
        """One crop of about difficulty `d`."""
        rng = self.rng
        if rng.random() < self.filmed:
            if not self.reel:
                self.film(d)
            return self.reel.pop()
        d = float(d * rng.uniform(0.25, 1.0))
        if rng.random() < 0.06:
            return Crop(negative(rng, self.backgrounds, d), "", 0, 0)
        plate = self.plate()
        view, quad = seen(rng, plate, self.backgrounds, d)
        return self.crop(plate, view, jitter(rng, quad, d))

    def crop(self, plate: plates.Plate, view: np.ndarray, quad: np.ndarray) -> Crop:
        """What the box would cut out of a view for the reader."""
        rng = self.rng
        region = region_number(plate.region)
        if not plate.upper:
            return Crop(rectified(view, quad), plate.text, region, 0)
        if rng.random() < 0.4:
            return Crop(rectified(view, quad), None, region, 1)
        upper, lower = halves(quad, 0.5 + float(rng.normal(0, 0.02)))
        if rng.random() < 0.5:
            return Crop(half_crop(view, upper, False), plate.text[:plate.upper], UNKNOWN, UNKNOWN)
        return Crop(half_crop(view, lower, True), plate.text[plate.upper:], UNKNOWN, UNKNOWN)
