"""The default limits of the service, which the suite assumes."""

BODY = 20_000_000  # bytes of an image
JSON_BODY = BODY * 4 // 3 + (1 << 16)  # bytes: an image in base64, and the JSON around it
JSON_LISTS = 200_000  # of it, with objects and keys
JSON_VALUES = 1_000_000  # of it: one more than there are commas
TENSORS_BODY = 256_000_000  # bytes, where they are binary: as many as may be in flight
BATCH = 1000  # images of a request that may have many
BATCH_BODY = 500_000_000  # bytes of a form of them
URL = 8192  # bytes
HEADERS = 100
HEADER_BYTES = 32768  # names and values together
PARTS = 101  # of a form: the image and 100 others
PART_HEADERS = 8
PART_HEADER_BYTES = 4096  # of each
FORM_OVERHEAD = 1 << 17  # bytes of a form besides the image
PIXEL = 8  # bytes that a JPEG takes of memory for each of its pixels, at most
DEADLINE = 10.0  # seconds
DECODE = 4.0  # seconds of processor time for an image
PATIENCE = 10.0  # seconds for a head, and for a pause in a body
SENDING = 30.0  # seconds for which a client reads nothing of an answer
