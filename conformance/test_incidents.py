"""Incidents of other servers, one test for each."""

import io
import itertools
import json
import pickle
import socket
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from conformance import exif
from conformance.answers import LEAKS, outcome, problem, refused
from conformance.canary import canary
from conformance.crafted import CRAFTED, JPEGS, PNGS, WEBPS
from conformance.forms import FORM, field, form, part
from conformance.limits import BODY, PATIENCE
from conformance.photos import jpeg, photo, plain
from conformance.processes import Processes
from conformance.slow import slow_clients
from conformance.tensors import model
from conformance.watches import QUICK, health_stays_quick, little_memory
from conformance.wire import Answer, Wire, chunked, exchange, head, post

CHUNKS = 300_000
PICTURES_GO = ("/predict", "/explain", "/predict/batch")
PICTURE = jpeg(plain(100))
MANAGEMENT = (
    *("/models", "/v1/models", "/v2/repository/index", "/v2/repository/models/x/load"),
    *("/admin", "/control", "/reload", "/shutdown", "/file", "/proxy", "/debug/pprof"),
)
LISTS = {"/models": 200, "/v2/repository/index": 405}  # ours: they list, and change nothing


def test_shelltorch_cve_2023_43654_and_kin_no_request_makes_the_service_fetch_a_url(
    base_url: str,
) -> None:
    """CVE-2024-35198, CVE-2025-54381, CVE-2026-28416: nor does any route load a model."""
    with canary(base_url) as watched:
        target = quote(watched.url, safe="")
        tellers = [f"{name}: {watched.url}" for name in ("Referer", "Origin", "X-Forwarded-Host")]
        link = watched.url.encode()
        ways = [
            post(PICTURE, *tellers, target=f"/predict?url={target}&image_url={target}"),
            post(link, kind="text/uri-list"),
            post(link),
            post(form(field("file", link), field("url", link)), kind=FORM),
            post(form(part(b"", file=watched.url)), kind=FORM),
            post(json.dumps({"url": watched.url}).encode(), kind="application/json"),
            head("GET", watched.url),
            *[
                post(
                    b'{"url": "%b"}' % link, target=f"{path}?url={target}", kind="application/json"
                )
                for path in MANAGEMENT
            ],
        ]
        for request in ways:
            assert exchange(base_url, request).status < 500
        for path in MANAGEMENT:
            assert exchange(base_url, head("GET", path)).status == LISTS.get(path, 404)
        assert not watched.disturbed()


class _Caller:
    """Connects to an address when it is unpickled."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address

    def __reduce__(self) -> tuple[object, ...]:
        return socket.create_connection, (self.address,)


def test_pickle_cve_2025_32434_and_kin_nothing_sent_is_unpickled(base_url: str) -> None:
    """CVE-2024-2912, CVE-2025-27520, CVE-2025-32375."""
    with canary(base_url) as watched:
        parts = urlsplit(watched.url)
        call = pickle.dumps(_Caller((parts.hostname or "", parts.port or 0)))
        pickle.loads(call).close()
        assert watched.disturbed()  # the canary detects it
        kinds = ("image/jpeg", "application/octet-stream", "application/vnd.bentoml+pickle")
        for kind in (*kinds, "application/x-python-serialize", "application/json"):
            for target in (*PICTURES_GO, f"{model(base_url)}/infer"):
                request = post(
                    call, "Payload-Container: NdarrayContainer", kind=kind, target=target
                )
                assert 400 <= exchange(base_url, request).status < 500
        assert refused(exchange(base_url, post(form(part(call)), kind=FORM))) == "unreadable-image"
        assert not watched.disturbed()


def test_bundle_extraction_cve_2026_27905_and_kin_an_archive_is_no_image(
    base_url: str, tmp_path: Path
) -> None:
    packed, mark = io.BytesIO(), tmp_path / "mark"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"../../../../../../../..{mark}", "x")
    assert refused(exchange(base_url, post(packed.getvalue()))) == "unsupported-format"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tape:
        tape.addfile(tarfile.TarInfo(str(mark)), io.BytesIO())
    assert refused(exchange(base_url, post(packed.getvalue()))) == "unreadable-image"
    assert not mark.exists()


def test_triton_cve_2025_23310_a_body_in_one_byte_chunks(base_url: str) -> None:
    """Also CVE-2025-23311, CVE-2025-33201. A service may refuse so many."""
    with health_stays_quick(base_url):
        request = chunked(PICTURE.ljust(CHUNKS, b"\0"), 1)
        assert outcome(exchange(base_url, request)) in ("ok", "bad-request")


@pytest.mark.parametrize("way", ["declared", "in chunks"])
def test_triton_cve_2025_33201_one_byte_over_the_cap(
    base_url: str, service: Processes, way: str
) -> None:
    over = PICTURE.ljust(BODY + 1, b"\0")
    request = post(over) if way == "declared" else chunked(over, 1 << 16)
    with health_stays_quick(base_url), little_memory(service):
        for _ in range(5):
            assert refused(exchange(base_url, request)) == "too-many-bytes"


def test_triton_cve_2025_23319_no_answer_tells_of_the_inside(base_url: str) -> None:
    """Also CVE-2025-23320, CVE-2025-23334."""
    bodies = [b"", b"x", PICTURE, PICTURE[:300], b"{}", b'{"inputs": [{}]}', b"[" * 100_000]
    kinds = ("image/jpeg", FORM, "application/json", "application/octet-stream", "x", "")
    targets = (*PICTURES_GO, f"{model(base_url)}/infer", "/nope")
    for body, kind, target in itertools.product(bodies, kinds, targets):
        request = post(body, "Inference-Header-Content-Length: 1", kind=kind, target=target)
        answer = exchange(base_url, request)
        assert answer.status < 500
        if answer.status != 200:
            assert not [leak for leak in LEAKS if leak.encode() in answer.body], answer
    never_sent = ("Content-Type: image/jpeg", "Content-Length: 9", "X-Deadline-Ms: 1")
    late = exchange(base_url, head("POST", "/predict", *never_sent))
    assert (late.status, problem(late)) == (504, "deadline-exceeded")


@pytest.mark.parametrize("name", [one for one in CRAFTED if "pixels each way" in one])
def test_pillow_bombs_are_refused_by_their_header(
    base_url: str, service: Processes, name: str
) -> None:
    with little_memory(service):
        assert refused(exchange(base_url, post(CRAFTED[name].build()))) == "too-many-pixels"


def test_pillow_cve_2026_112403_and_kin_odd_images_crash_nothing(base_url: str) -> None:
    odd = [one.build() for one in (*JPEGS, *PNGS, *WEBPS) if "mega" not in one.name]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(exchange, [base_url] * len(odd), map(post, odd)))
    assert {answer.status for answer in answers} <= {200, 400, 413, 415}


@pytest.mark.parametrize("name", exif.ODD)
def test_pillow_exif_loop_cve_2026_96643_and_kin(base_url: str, name: str) -> None:
    for place in ("jpeg", "png", "webp"):
        image = CRAFTED[f"exif: {name} ({place})"].build()
        assert outcome(exchange(base_url, post(image))) == "ok"


LARGE_FORMS = {
    "10,000 parts": lambda: form(*[field("x")] * 10_000),
    "100 MB without a file": lambda: form(field("x", bytes(100_000_000))),
    "a million fields": lambda: form(*[field("x")] * 1_000_000),
}


@pytest.mark.parametrize("name", LARGE_FORMS)
def test_starlette_cve_2023_30798_cve_2024_47874_large_forms(
    base_url: str, service: Processes, name: str
) -> None:
    body = LARGE_FORMS[name]()
    with health_stays_quick(base_url), little_memory(service):
        for request in (post(body, kind=FORM), chunked(body, 1 << 16, FORM)):
            assert refused(exchange(base_url, request)) in ("malformed-upload", "too-many-bytes")


def test_starlette_cve_2026_54283_a_million_fields_of_a_plain_form(base_url: str) -> None:
    request = post(b"x=1&" * 1_000_000, kind="application/x-www-form-urlencoded")
    with health_stays_quick(base_url):
        assert refused(exchange(base_url, request)) == "unsupported-content-type"


def test_starlette_cve_2025_54121_a_large_file_does_not_stop_the_rest(base_url: str) -> None:
    body = form(part(PICTURE.ljust(BODY, b"\0")))
    with health_stays_quick(base_url):
        assert outcome(exchange(base_url, post(body, kind=FORM))) == "ok"


def test_starlette_cve_2025_62727_a_huge_range(base_url: str) -> None:
    ranges = "bytes=" + ",".join(f"{k}-" for k in range(5000))
    paths = ["/", "/docs", *assets(base_url)]
    assert len(paths) > 3
    with health_stays_quick(base_url):
        for path in paths:
            answer = exchange(base_url, head("GET", path, f"Range: {ranges}"))
            assert answer.status in (200, 206, 400, 416)


def assets(url: str) -> list[str]:
    """The files that the pages refer to."""
    pages = [exchange(url, head("GET", path)).body.decode() for path in ("/", "/docs")]
    words = [word for page in pages for word in page.replace("'", '"').split('"')]
    return sorted({f"/{word}" for word in words if word.endswith((".js", ".css"))})


@pytest.mark.wire
def test_starlette_cve_2026_48710_a_bad_host(base_url: str) -> None:
    for host in ("evil.example", "a:b:c", "[evil", "test/..;@evil.example", "x" * 5000):
        for path in ("/", "/docs", "/predict/", "/openapi.json"):
            answer = exchange(base_url, head("GET", path, host=host))
            assert answer.status < 500
            assert host.encode() not in answer.body
            assert "location" not in answer.headers


def test_python_multipart_cve_2024_53981_megabytes_before_the_form(base_url: str) -> None:
    for filling in (b"\r\n", b"\n", b"x", b"--frontie"):
        body = filling * (10_000_000 // len(filling)) + form(part(PICTURE))
        with health_stays_quick(base_url):
            assert refused(exchange(base_url, post(body, kind=FORM))) == "malformed-upload"


def test_python_multipart_cve_2026_40347_megabytes_behind_the_form(base_url: str) -> None:
    body = form(part(PICTURE)) + b"\r\nx" * 3_000_000
    with health_stays_quick(base_url):
        assert exchange(base_url, post(body, kind=FORM)).status in (200, 400)


def test_python_multipart_cve_2026_42561_many_part_headers(base_url: str) -> None:
    for headers in ([f"X-{k}: y" for k in range(10_000)], ["X: " + "y" * 10_000_000]):
        body = form(part(PICTURE, *headers))
        with health_stays_quick(base_url):
            assert refused(exchange(base_url, post(body, kind=FORM))) == "malformed-upload"


def test_python_multipart_cve_2026_24486_a_file_name_is_never_a_path(
    base_url: str, tmp_path: Path
) -> None:
    mark = tmp_path / "mark.jpg"
    for file in (str(mark), f"../../../../../../../../..{mark}"):
        assert outcome(exchange(base_url, post(form(part(PICTURE, file=file)), kind=FORM))) == "ok"
    assert not mark.exists()


@pytest.mark.wire
def test_h11_cve_2025_43859_a_bad_chunk_end(base_url: str) -> None:
    coding = ("Content-Type: image/jpeg", "Transfer-Encoding: chunked")
    for end in (b"xx", b"\r\r", b"\n\n", b"0\r"):
        body = b"5\r\nhello" + end + b"0\r\n\r\n"
        with Wire(base_url) as wire:
            wire.send(head("POST", "/predict", *coding) + body + head("GET", "/class-names"))
            assert refused(wire.answer()) == "bad-request"
            assert wire.closed()


@pytest.mark.wire
def test_slow_upload_two_hundred_clients_of_one_byte_a_second(base_url: str) -> None:
    answers, longest = slow_clients(base_url, 200, 6 * PATIENCE)
    assert {refused(answer) for answer in answers} == {"slow-head", "slow-upload"}
    assert {answer.status for answer in answers} == {408}
    assert longest < QUICK


def test_infinity_telemetry_no_connection_goes_out(base_url: str, service: Processes) -> None:
    exchange(base_url, post(PICTURE))
    port = urlsplit(base_url).port or 80
    assert {local for local, remote in service.connections() if remote} <= {port}


def test_ultralytics_6174_each_of_500_images_has_its_own_answer(base_url: str) -> None:
    requests = [post(jpeg(photo(number))) for number in range(500)]

    def content(answer: Answer) -> object:
        assert answer.status == 200
        return json.loads(answer.body)["top"]

    def ask(request: bytes) -> object:
        return content(exchange(base_url, request))

    with Wire(base_url) as wire:
        alone = [content(wire.send(request).answer()) for request in requests]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(ask, requests))
    assert len({json.dumps(one) for one in alone}) > 400  # otherwise a mix-up would not show
    assert together == alone
