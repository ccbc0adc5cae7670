"""What does a photo show? python ask_stdlib.py photo.jpg [URL]."""

import json
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

ATTEMPTS = 5
FULL = (429, 503)  # what is refused otherwise is not worth asking again


def ask(picture: bytes, url: str) -> dict:
    """The service's answer; raises HTTPError, whose body says why, for a refusal."""
    # Any of image/jpeg, image/png and image/webp will do: the service looks at the bytes.
    request = Request(f"{url}/predict", picture, {"Content-Type": "image/jpeg"})
    for left in reversed(range(ATTEMPTS)):
        try:
            with urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except HTTPError as refusal:
            if refusal.code not in FULL or not left:
                raise
            time.sleep(int(refusal.headers.get("Retry-After", 1)))
    raise AssertionError


if __name__ == "__main__":
    url = sys.argv[2] if len(sys.argv) > 2 else "http://127.0.0.1:8000"
    try:
        answer = ask(Path(sys.argv[1]).read_bytes(), url)
    except HTTPError as refusal:
        problem = json.load(refusal)
        sys.exit(f"{problem['code']}: {problem['detail']}")
    print(answer["answer"]["name"] or "I do not know")
