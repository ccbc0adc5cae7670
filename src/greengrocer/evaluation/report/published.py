"""What others have published on the Grocery Store Dataset's official test split."""

from typing import NamedTuple


class Published(NamedTuple):
    """A result in per cent; ``coarse`` is None where the source gives none."""

    model: str
    fine: float
    coarse: float | None
    source: str


PUBLISHED = (
    Published("DenseNet-201", 86.04, 91.99, "Antioquia, PCSC 2021"),
    Published("DenseNet-169", 85.75, 90.54, "Antioquia, PCSC 2021"),
    Published("ResNet-50", 85.39, 89.58, "Antioquia, PCSC 2021"),
    Published(
        "DenseNet-169, fine-tuned, with an SVM", 85.0, None, "Klasson, WACV 2019, arXiv 1901.00711"
    ),
    Published("ResNet-18", 78.31, None, "wengchienwei/retail-shelf-product-recognition"),
)

TEST_PICTURES = 2485  # in the official test split
