"""How many calls of each kind a process takes at once, and how much of each."""

from typing import NamedTuple


class CallLimit(NamedTuple):
    """Of calls of one kind; one address has fewer places, so that others get some as well."""

    of_process: int
    of_address: int


# A call of ModelInfer that waits for its turn holds a window of HTTP/2: 64 KB.
MODEL_INFER = CallLimit(1000, 700)
SHORT_CALLS = CallLimit(256, 192)
# Need no API key: they have places of their own, or anybody could take those of the short calls.
PROBES = CallLimit(256, 192)
WATCHES = CallLimit(64, 8)  # never end, and a client needs one
REFLECTIONS = CallLimit(16, 4)  # for people who try things out
# Those being refused among them: more than all kinds together, so that each is told why. gRPC
# itself refuses further ones.
MOST_CALLS = 2000
CALLS_OF_CONNECTION = 100  # a client's further ones wait until it may send them

MESSAGE_OVERHEAD = 1 << 16  # bytes of a message besides its images
SHORT_AT_ONCE, PROBES_AT_ONCE = 4, 8  # messages received
SHORT_SECONDS = 2.0  # for a short message: it comes with its call
REFLECTION_SECONDS = 60.0  # that a stream of reflection may last


def unread_limit(upload_bytes: int) -> CallLimit:
    """Bytes of answers that clients have not read, where uploads may take ``upload_bytes``."""
    return CallLimit(upload_bytes // 4, upload_bytes // 8)
