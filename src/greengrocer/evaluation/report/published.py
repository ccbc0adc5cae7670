"""What others have published on the Grocery Store Dataset's official test split."""

import hashlib
from collections.abc import Sequence
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
_CLASSES_DIGEST = "76a864f6c67511b220036156bdcc8a057fa60e4fa3584d4238b683c8dbe50790"


def is_grocery(classes: Sequence[str]) -> bool:
    """Whether these are the data set's 81 fine classes, by the SHA-256 of their sorted names."""
    names = "\n".join(sorted(classes)).encode()
    return hashlib.sha256(names).hexdigest() == _CLASSES_DIGEST
