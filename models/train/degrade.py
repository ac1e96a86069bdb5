"""Damage to a clean picture: what lies on a plate, what the camera does, what the encoder does.

All functions take and give grey pictures (uint8) and cost a fraction of a millisecond at crop size. `d` in 0..1 is the
difficulty: 0 almost nothing happens, 1 what the worst street pictures show.
"""
import cv2
import numpy as np


def soil(rng, grey: np.ndarray, d: float) -> np.ndarray:
    """Dirt, scratches, shadows and glare on the plate itself, before the camera."""
    h, w = grey.shape
    out = grey.astype(np.float32)
    if rng.random() < 0.35 * d:
        small = rng.random((max(2, h // int(rng.integers(4, 24))), max(2, w // int(rng.integers(4, 24))))).astype(np.float32)
        cloud = cv2.resize(small, (w, h), interpolation=cv2.INTER_CUBIC)
        edge, colour = rng.uniform(0.55, 0.95), rng.uniform(20, 200)
        out += (colour - out) * np.clip((cloud - edge) * 3, 0, rng.uniform(0.2, 0.7))
    if rng.random() < 0.3 * d:
        nx, ny, at = rng.normal(), rng.normal() * 1.5, rng.uniform(0.2, 0.8)
        ys, xs = np.ogrid[0:h, 0:w]
        side = (xs / w - at) * nx + (ys / h - at) * ny
        soft = np.clip(side * rng.uniform(3, 40) + 0.5, 0, 1).astype(np.float32)
        out *= 1 - soft * rng.uniform(0.2, 0.85)
    if rng.random() < 0.2 * d:
        ys, xs = np.ogrid[0:h, 0:w]
        cx, cy, r = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(0.15, 0.9) * w
        glow = np.exp(-(((xs - cx) / r) ** 2 + ((ys - cy) / (r * rng.uniform(.3, 1))) ** 2)).astype(np.float32)
        out += glow * rng.uniform(30, 160)
    if rng.random() < 0.1 * d:
        for _ in range(int(rng.integers(1, 4))):
            a = (int(rng.uniform(0, w)), int(rng.uniform(0, h)))
            b = (int(a[0] + rng.normal() * w * .2), int(a[1] + rng.normal() * h * .3))
            cv2.line(out, a, b, float(rng.uniform(0, 255)), 1, cv2.LINE_AA)
    return np.clip(out, 0, 255).astype(np.uint8)


def light(rng, grey: np.ndarray, d: float) -> np.ndarray:
    """Exposure, contrast and gamma by a table; over- and underexposed with growing `d`."""
    x = np.arange(256, dtype=np.float32) / 255
    x = x ** np.exp(rng.normal(0, 0.1 + 0.4 * d))
    if rng.random() < 0.5 * d:
        low = rng.uniform(0, 0.35)
        high = low + np.exp(rng.uniform(np.log(0.05), np.log(1 - low)))
    else:
        low, high = rng.uniform(0, 0.15), rng.uniform(0.7, 1.0)
    gain = rng.uniform(1.0, 1.6) if rng.random() < 0.15 * d else 1.0
    table = np.clip((low + (high - low) * x) * gain, 0, 1) * 255
    return cv2.LUT(grey, table.astype(np.uint8))


def blur(rng, grey: np.ndarray, d: float, most: float = 1.6) -> np.ndarray:
    """Focus or motion blur, in pixels of the camera."""
    kind = rng.random()
    if kind < 0.55:
        sigma = rng.uniform(0.2, 0.5 + most * d)
        return cv2.GaussianBlur(grey, (0, 0), sigma) if sigma > 0.3 else grey
    if kind < 0.8 * (0.4 + 0.6 * d):
        n = int(rng.integers(2, 3 + round(4 * d)))
        kernel = np.zeros((n, n), np.float32)
        a = rng.uniform(0, np.pi) if rng.random() < 0.6 else rng.normal(0, 0.2)
        c = (n - 1) / 2
        cv2.line(kernel, (round(c - c * np.cos(a)), round(c - c * np.sin(a))), (round(c + c * np.cos(a)), round(c + c * np.sin(a))), 1.0, 1)
        return cv2.filter2D(grey, -1, kernel / max(kernel.sum(), 1e-6))
    return grey


def comb(rng, grey: np.ndarray, d: float) -> np.ndarray:
    """Two fields taken one after the other, as interlaced cameras do: every second row is shifted."""
    if rng.random() > 0.08 * d:
        return grey
    out, by = grey.copy(), int(rng.integers(1, 4)) * int(rng.choice((-1, 1)))
    out[1::2] = np.roll(grey[1::2], by, 1)
    return out


def rain(rng, grey: np.ndarray, d: float) -> np.ndarray:
    """Streaks of rain in the air, or drops on the glass that blur what lies behind them."""
    if rng.random() > 0.06 * d:
        return grey
    h, w = grey.shape
    out = grey.copy()
    if rng.random() < 0.6:
        lean, long = rng.normal(0, 0.2), rng.uniform(0.1, 0.5) * h
        for x, y in rng.uniform(0, (w, h), (int(rng.integers(4, 24)), 2)):
            cv2.line(out, (int(x), int(y)), (int(x + lean * long), int(y + long)), float(min(255, grey.mean() + rng.uniform(20, 110))), 1, cv2.LINE_AA)
        return cv2.addWeighted(grey, 0.45, out, 0.55, 0)
    soft = cv2.GaussianBlur(grey, (0, 0), rng.uniform(1.5, 3.0))
    mask = np.zeros_like(grey)
    for x, y in rng.uniform(0, (w, h), (int(rng.integers(1, 5)), 2)):
        cv2.circle(mask, (int(x), int(y)), int(rng.uniform(0.08, 0.3) * h) + 1, 255, -1, cv2.LINE_AA)
    cv2.copyTo(soft, mask, out)
    return out


def noise(rng, grey: np.ndarray, d: float) -> np.ndarray:
    """Sensor noise, at times smoothed as a camera's own denoiser does."""
    if rng.random() > 0.3 + 0.5 * d:
        return grey
    sigma = rng.uniform(1, 3 + 11 * d)
    grain = rng.standard_normal(grey.shape, dtype=np.float32) * sigma
    if rng.random() < 0.4:
        grain = cv2.GaussianBlur(grain, (3, 3), 0) * 1.6
    return np.clip(grey + grain, 0, 255).astype(np.uint8)


def encode(rng, grey: np.ndarray, d: float) -> np.ndarray:
    """JPEG artefacts; also sharpening halos, as many cameras add them."""
    if rng.random() < 0.2:
        soft = cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.7, 1.5))
        grey = cv2.addWeighted(grey, 1 + rng.uniform(0.3, 1.5), soft, -rng.uniform(0.3, 1.0), 0)
    if rng.random() < 0.3 + 0.4 * d:
        grey = coded(grey, int(rng.uniform(85 - 60 * d, 96)))
    elif rng.random() < 0.35 * d:  # like a video codec: small blocks, coarse, their edges smoothed
        h, w = grey.shape
        fine = coded(cv2.resize(grey, (w * 2, h * 2), interpolation=cv2.INTER_LINEAR), int(rng.uniform(8, 40)))
        grey = cv2.resize(fine, (w, h), interpolation=cv2.INTER_AREA)
        if rng.random() < 0.5:
            grey = cv2.bilateralFilter(grey, 3, 18, 1.2)
    return grey


def coded(grey: np.ndarray, quality: int) -> np.ndarray:
    """The picture after JPEG."""
    ok, data = cv2.imencode(".jpg", grey, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if ok else grey


def camera(rng, grey: np.ndarray, d: float, most_blur: float = 1.6) -> np.ndarray:
    """Everything between the lens and the decoder."""
    return encode(rng, noise(rng, light(rng, comb(rng, blur(rng, rain(rng, grey, d), d, most_blur), d), d), d), d)
