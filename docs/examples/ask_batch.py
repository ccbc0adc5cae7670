"""What do many photos show? python ask_batch.py URL photo.jpg ..."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

AT_ONCE = 100  # photos a request, all of which are in this program's memory
ATTEMPTS = 5
FULL = (429, 503)


def ask(client: httpx.Client, pictures: list[bytes]) -> Iterator[dict]:
    """A line for each image, in order, as soon as the service sends it.

    Raises httpx.HTTPStatusError for a refusal of all of them.
    """
    form = [("file", picture) for picture in pictures]
    for left in reversed(range(ATTEMPTS)):
        with client.stream("POST", "/predict/batch", files=form) as response:
            if response.status_code not in FULL or not left:
                response.raise_for_status()
                yield from map(json.loads, response.iter_lines())
                return
        time.sleep(int(response.headers.get("Retry-After", 1)))


def readable(paths: list[str]) -> Iterator[tuple[str, bytes]]:
    """The photos that can be read; prints a line for each of the others."""
    for path in paths:
        try:
            yield path, Path(path).read_bytes()
        except OSError as error:
            print(f"{path}: {error.strerror}")


def main(url: str, paths: list[str]) -> int:
    """Print a line for each photo; returns how many have no answer."""
    answered = 0
    with httpx.Client(base_url=url, timeout=60) as client:
        for start in range(0, len(paths), AT_ONCE):
            photos = list(readable(paths[start : start + AT_ONCE]))
            for line in ask(client, [picture for _, picture in photos]) if photos else ():
                path, _ = photos[line["index"]]
                if "code" in line:
                    print(f"{path}: {line['code']}: {line['detail']}")
                else:
                    print(f"{path}: {line['answer']['name'] or 'I do not know'}")
                    answered += 1
    return len(paths) - answered


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1], sys.argv[2:]) else 0)
