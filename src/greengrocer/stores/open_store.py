"""Open a store, if the extra ``stores`` is installed."""

from typing import TYPE_CHECKING

from greengrocer.errors import BrokenExtra, MissingExtra
from greengrocer.safe_text import MAX_REASON, one_line, words_of
from greengrocer.stores.address import Address

if TYPE_CHECKING:
    from greengrocer.stores.store import Store

EXTRA = "stores"


def open_store(address: Address) -> "Store":
    """The store at ``address``; connects to nothing yet.

    Raises MissingExtra, BrokenExtra, and StoreFailed where a variable of the environment makes no
    sense.
    """
    try:
        from greengrocer.stores.store import Store  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtra(f"a bundle at {address}", EXTRA) from error
    except ImportError as error:
        raise BrokenExtra(EXTRA, one_line(words_of(error), MAX_REASON)) from error
    return Store(address)
