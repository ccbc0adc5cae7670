"""For any image bytes: a prediction or a refusal, in time, and no memory left behind."""

import json
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from conformance.answers import outcome, problem
from conformance.corpus import DAMAGES, SOUND, damaged, names, sound
from conformance.crafted import CRAFTED, STRANGERS, Crafted
from conformance.forms import FORM, form, part
from conformance.limits import DECODE, PIXEL
from conformance.photos import jpeg, photo, plain
from conformance.processes import Processes
from conformance.watches import in_time
from conformance.wire import exchange, post

CLIENTS = 2
REFUSALS = {"unreadable-image", "too-many-pixels", "unsupported-format", "empty-image"}
PEAK = 300_000  # kilobytes that an image of the most pixels allowed may take for a moment
CLOSE = 50_000  # kilobytes, over the known need of a large image
LITTLE = 30_000  # kilobytes, for an image of few pixels, whatever else it contains
LEFT = 10_000  # kilobytes, of a round of all crafted images
KEPT = 40_000  # kilobytes more than sound images take, in all threads together
ROUNDS = 8
BOMBS = {
    **{name: PEAK for name in CRAFTED if "pixels each way" in name or "unpack" in name},
    **{
        name: LITTLE
        for name in CRAFTED
        if "texts" in name or "XMP" in name or "beside" in name or "lie over" in name
    },
    # whose coefficients are all held before the first of its pixels
    "jpeg: a progressive CMYK of 49 megapixels": 49_000 * PIXEL + CLOSE,
}


def outcomes(url: str, images: list[str]) -> dict[str, str]:
    """What the service says to damaged images, one after the other on one connection."""
    answers = in_time(url, (post(damaged(name)) for name in images))
    return {name: outcome(answer) for name, answer in zip(images, answers, strict=True)}


@pytest.mark.parametrize("kind", SOUND)
def test_a_sound_image_is_recognised(base_url: str, kind: str) -> None:
    assert outcome(exchange(base_url, post(sound(kind)))) == "ok"


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", SOUND)
def test_a_damaged_image_is_recognised_or_refused(
    request: pytest.FixtureRequest, base_url: str, kind: str, damage: str
) -> None:
    seed, count = request.config.getoption("--seed"), request.config.getoption("--images")
    images = list(names(kind, damage, seed, count))
    shares = [images[k::CLIENTS] for k in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        found = [
            pair
            for some in pool.map(outcomes, [base_url] * CLIENTS, shares)
            for pair in some.items()
        ]
    assert len(found) == count
    assert not [(name, code) for name, code in found if code not in REFUSALS | {"ok"}]


def test_in_a_batch_every_image_has_the_answer_that_it_has_alone(base_url: str) -> None:
    images = [jpeg(photo(number)) for number in range(20)]
    images += [damaged(f"{kind}-cut_{number}") for kind in SOUND for number in range(3)]
    random.Random(1).shuffle(images)
    alone = [content(exchange(base_url, post(image)).body) for image in images]
    batch = post(form(*map(part, images)), kind=FORM, target="/predict/batch")
    together = exchange(base_url, batch)
    assert together.status == 200
    assert [content(line) for line in together.body.splitlines()] == alone


def content(line: bytes) -> tuple[object, object]:
    """What is said of one image: its classes, or why it has none."""
    fields = json.loads(line)
    return fields.get("top"), fields.get("detail")


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_image_is_told_what_is_right(base_url: str, name: str) -> None:
    crafted = CRAFTED[name]
    (answer,) = in_time(base_url, [post(crafted.build())])
    assert outcome(answer) in crafted.outcomes


@pytest.mark.parametrize("stranger", STRANGERS, ids=[one.name for one in STRANGERS])
def test_the_name_of_a_file_makes_no_image(base_url: str, stranger: Crafted) -> None:
    sent = post(form(part(stranger.build(), file="photo.jpg")), kind=FORM)
    assert outcome(exchange(base_url, sent)) in stranger.outcomes


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_no_more_memory_than_its_pixels_may(
    base_url: str, service: Processes, name: str
) -> None:
    bomb = post(CRAFTED[name].build())
    before = service.kilobytes("Rss")
    service.forget_peaks()
    exchange(base_url, bomb)
    assert service.peak() - before < BOMBS[name]


def test_a_decode_that_outlives_its_budget_is_stopped(base_url: str, service: Processes) -> None:
    """The work stops with the refusal: a complete decode takes far longer."""
    endless = jpeg(plain(9, (10_900, 10_900)), progressive=True, subsampling=0)[:-2]
    before = service.seconds()
    code = problem(exchange(base_url, post(endless)))
    assert code in ("image-too-slow", "deadline-exceeded")  # the latter on a busy machine
    assert service.seconds() - before < 2 * DECODE
    before = service.seconds()
    for kind in SOUND:
        assert outcome(exchange(base_url, post(sound(kind)))) == "ok"
    assert service.seconds() - before < DECODE


def test_memory_settles(base_url: str, service: Processes) -> None:
    """Each thread's allocator keeps what its largest image took, and then no more."""
    sound = [post(one.build()) for one in CRAFTED.values() if one.outcomes == {"ok"}] * CLIENTS
    for request in sound:
        exchange(base_url, request)
    requests = [post(crafted.build()) for crafted in CRAFTED.values()]
    warm = service.kilobytes()
    taken: list[int] = []
    for _ in range(ROUNDS):
        for request in requests:
            exchange(base_url, request)
        taken.append(service.kilobytes())
        if len(taken) > 1 and taken[-1] < max(taken[:-1]) + LEFT:
            assert taken[-1] < warm + KEPT, (warm, taken)
            return
    pytest.fail(f"after each round it takes more kilobytes: {taken}")
