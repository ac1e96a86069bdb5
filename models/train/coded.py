"""Small plates as a camera's stream has them: moving, smeared by the exposure, and coded with H.264 by a real encoder.

A `Reel` lays some dozens of views on one canvas, moves each along its own way for a few frames, encodes the film with x264 and takes
every plate from one of the decoded frames. JPEG (`degrade.encode`) has neither the coarse residuals nor the copied blocks that
a codec makes of plates 40 to 90 pixels wide.
"""
import fractions

import av
import cv2
import numpy as np

import degrade

CANVAS = (1024, 576)
CELL = (128, 96)
FINE = 2  # views are drawn so much larger, and shrunk as they are laid on the canvas


def smear(grey: np.ndarray, along: tuple[float, float]) -> np.ndarray:
    """Averages along a way, in pixels across and down: what moves while the shutter is open."""
    length = float(np.hypot(*along))
    if length < 0.7:
        return grey
    n = int(np.ceil(max(map(abs, along)))) + 1
    size = n | 1
    kernel, steps = np.zeros((size, size), np.float32), 4 * size
    c = (size - 1) / 2
    for t in np.linspace(-0.5, 0.5, steps):
        x, y = c + along[0] * t, c + along[1] * t
        x0, y0 = int(np.floor(x)), int(np.floor(y))
        for dx in (0, 1):
            for dy in (0, 1):
                if x0 + dx < size and y0 + dy < size:
                    kernel[y0 + dy, x0 + dx] += (1 - abs(x - x0 - dx)) * (1 - abs(y - y0 - dy))
    return cv2.filter2D(grey, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


class View:
    """A plate to be filmed: grey picture `FINE` times too large, its corners there, its motion in pixels a frame, growth a frame."""

    def __init__(self, rng, grey, quad):
        self.grey, self.quad = grey, quad
        speed = rng.uniform(0, 11) if rng.random() < 0.85 else 0.0
        angle = rng.normal(0, 0.2) if rng.random() < 0.75 else rng.uniform(-np.pi / 2, np.pi / 2)
        sign = rng.choice((-1.0, 1.0))
        self.step = np.array([np.sin(angle) * speed, np.cos(angle) * speed]) * sign
        self.growth = 1 + sign * rng.uniform(0, 0.015) * min(1, speed / 5)

    def laid(self, frame: int, middle: int, offset) -> np.ndarray:
        """The affine map from the view to its cell in this frame; in the middle frame it is centred but for `offset`."""
        h, w = self.grey.shape
        scale = self.growth ** (frame - middle) / FINE
        at = np.array(CELL) / 2 + offset + self.step * (frame - middle)
        return np.array([[scale, 0, at[0] - (w - 1) / 2 * scale], [0, scale, at[1] - (h - 1) / 2 * scale]])


def filmed(frames: list[np.ndarray], crf: int) -> list[np.ndarray]:
    """Luma of the frames after the encoder."""
    h, w = frames[0].shape
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = w, h, "yuv420p"
    codec.time_base, codec.thread_count = fractions.Fraction(1, 25), 1
    codec.options = {"crf": str(crf), "preset": "veryfast", "tune": "zerolatency", "x264-params": "scenecut=0:keyint=50:log-level=none"}
    decoder, out = av.CodecContext.create("h264", "r"), []
    decoder.thread_count = 1
    chroma = np.full((h // 2, w), 128, np.uint8)

    def take(packets):
        for packet in packets:
            out.extend(f.to_ndarray()[:h, :w] for f in decoder.decode(packet))

    for k, grey in enumerate(frames):
        limited = cv2.LUT(grey, RANGE)
        frame = av.VideoFrame.from_ndarray(np.vstack([limited, chroma]), format="yuv420p")
        frame.pts = k
        take(codec.encode(frame))
    take(codec.encode(None))
    out.extend(f.to_ndarray()[:h, :w] for f in decoder.decode(None))
    return [cv2.LUT(np.ascontiguousarray(grey), FULL) for grey in out]


RANGE = (16 + np.arange(256) * 219 / 255).round().astype(np.uint8)
FULL = np.clip((np.arange(256) - 16.0) * 255 / 219, 0, 255).round().astype(np.uint8)


def film(rng, views: list[View], backdrop: np.ndarray) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """Of each view its decoded cells, frame by frame up to the one in which it is centred, and the plate's corners in each.
    `backdrop` has the canvas' size."""
    across = CANVAS[0] // CELL[0]
    count = int(rng.integers(3, 12))
    taken = rng.integers(0, count, len(views))
    taken = np.maximum(taken, rng.integers(0, count, len(views)))  # rather late: the first is a key frame
    offsets = [rng.uniform(-0.5, 0.5, 2) + rng.integers(-4, 5, 2) for _ in views]
    noise, frames = rng.uniform(0.5, 4.0), []
    for k in range(count):
        canvas = backdrop.copy()
        for n, view in enumerate(views):
            x, y = n % across * CELL[0], n // across * CELL[1]
            cell = canvas[y:y + CELL[1], x:x + CELL[0]]
            cv2.warpAffine(view.grey, view.laid(k, int(taken[n]), offsets[n]), CELL, dst=cell, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT)
        grain = rng.standard_normal((CANVAS[1], CANVAS[0] // 4), dtype=np.float32) * noise
        canvas = np.clip(canvas + np.tile(grain, 4), 0, 255).astype(np.uint8)
        frames.append(canvas)
    frames = filmed(frames, int(rng.integers(22, 37)))
    out = []
    for n, view in enumerate(views):
        x, y = n % across * CELL[0], n // across * CELL[1]
        cells = []
        for k in range(int(taken[n]) + 1):
            way = view.laid(k, int(taken[n]), offsets[n])
            quad = (view.quad @ way[:, :2].T + way[:, 2]).astype(np.float32)
            if k == taken[n] or (quad > 1).all() and (quad < np.array(CELL) - 2).all():
                cells.append((frames[k][y:y + CELL[1], x:x + CELL[0]], quad))
        out.append(cells)
    return out
