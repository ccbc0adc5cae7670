"""What do photos show? python ask_httpx.py URL photo.jpg ..."""

import asyncio
import sys
from pathlib import Path

import httpx

AT_ONCE = 4  # more only make the queue longer
ATTEMPTS = 5
FULL = (429, 503)


async def ask(client: httpx.AsyncClient, picture: bytes) -> dict:
    """The service's answer, or its problem, which has a code and a detail.

    Raises httpx.HTTPError where the service does not answer.
    """
    for left in reversed(range(ATTEMPTS)):
        response = await client.post("/predict", files={"file": picture})
        if response.status_code not in FULL or not left:
            break
        await asyncio.sleep(int(response.headers.get("Retry-After", 1)))
    if response.headers.get("Content-Type") != "application/problem+json":
        response.raise_for_status()  # of a proxy, which knows no more
    return response.json()


async def main(url: str, paths: list[str]) -> int:
    """Print a line for each photo, in their order; returns how many have no answer."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def asked(path: str) -> dict:
        try:
            async with turns:
                return await ask(client, Path(path).read_bytes())
        except (OSError, httpx.HTTPError) as error:  # one photo's error is not that of the others
            return {"code": type(error).__name__, "detail": error}

    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        answers = await asyncio.gather(*map(asked, paths))
    for path, answer in zip(paths, answers, strict=True):
        if "code" in answer:
            print(f"{path}: {answer['code']}: {answer['detail']}")
        else:
            print(f"{path}: {answer['answer']['name'] or 'I do not know'}")
    return sum("code" in answer for answer in answers)


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(main(sys.argv[1], sys.argv[2:])) else 0)
