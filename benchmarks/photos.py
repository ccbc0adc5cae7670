"""Photos of 12 megapixels as a phone takes them: a small image, enlarged, with noise."""

import io
import math
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

PIXELS = 12_000_000
LARGE = 12  # photos: each takes a second to make
NOISE = 9.0  # standard deviation, of 255: a phone's sensor by the light of a shop
QUALITY = 85  # with the noise it makes 3 to 4 MB


def enlarge(image: bytes, seed: int) -> bytes:
    """A JPEG of 12 megapixels that shows what ``image`` shows."""
    small = Image.open(io.BytesIO(image)).convert("RGB")
    scale = math.sqrt(PIXELS / (small.width * small.height))
    size = round(small.width * scale), round(small.height * scale)
    large = np.asarray(small.resize(size, Image.Resampling.BICUBIC), np.int16)
    noise = np.random.default_rng(seed).standard_normal(large.shape[:2], np.float32)
    noisy = large + (NOISE * noise).round().astype(np.int16)[:, :, None]
    written = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(written, "JPEG", quality=QUALITY)
    return written.getvalue()


def write_sizes(home: Path, images: list[bytes]) -> tuple[Path, Path]:
    """The images as they are and, of some, as a phone would have taken them."""
    small, large = home / "small", home / "large"
    small.mkdir()
    large.mkdir()
    for number, image in enumerate(images):
        (small / f"{number:04}.jpg").write_bytes(image)
    step = max(1, len(images) // LARGE)
    for number, image in enumerate(tqdm(images[::step][:LARGE], "enlarge")):
        (large / f"{number:04}.jpg").write_bytes(enlarge(image, number))
    return small, large
