"""What do photos show? python ask_httpx.py URL photo.jpg ..."""

import asyncio
import sys
from pathlib import Path

import httpx

AT_ONCE = 4  # more only make the queue longer
ATTEMPTS = 5
FULL = (429, 503)


async def ask(client: httpx.AsyncClient, picture: bytes) -> dict:
    """The service's answer; raises httpx.HTTPStatusError for a refusal."""
    for left in reversed(range(ATTEMPTS)):
        response = await client.post("/predict", files={"file": picture})
        if response.status_code not in FULL or not left:
            break
        await asyncio.sleep(int(response.headers.get("Retry-After", 1)))
    response.raise_for_status()
    return response.json()


async def main(url: str, paths: list[str]) -> None:
    """Print a line for each photo, in their order."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def named(path: str) -> str:
        async with turns:
            answer = await ask(client, Path(path).read_bytes())
        return f"{path}: {answer['answer']['name'] or 'I do not know'}"

    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        for line in await asyncio.gather(*map(named, paths)):
            print(line)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
