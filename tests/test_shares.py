import re

import pytest

from greengrocer.assemble_limits import admission_limits
from greengrocer.errors import UsageError
from greengrocer.read_settings import read_settings

MEMORY = {"max_image_bytes": 1_000_000, "upload_memory_bytes": 10_000_000}


@pytest.mark.parametrize("workers", [None, 2])
def test_a_share_that_never_has_room_for_the_largest_image_is_refused(workers: int | None) -> None:
    def limited(share: int) -> None:
        settings = read_settings({**MEMORY, "workers": workers, "limits": (f"shop={share}%",)})
        limits = admission_limits(settings, 1)
        assert limits.shares["shop"] * limits.upload_bytes / (workers or 1) > 1_333_333  # in base64

    with pytest.raises(UsageError) as refused:
        limited(1)
    found = re.search(r"limits: shop=1% .* the least is shop=(\d+)%$", str(refused.value))
    assert found, refused.value
    limited(int(found[1]))
    with pytest.raises(UsageError, match=found[0].rpartition("least")[2]):
        limited(int(found[1]) - 1)
