"""``GET /class-names``."""

from pathlib import Path

from greengrocer.web.schemas import ClassNames, Problem
from support.bundles import CLASSES, write_fake_bundle
from support.live import live, make_service
from support.servers import Server


def test_the_classes_are_listed_in_class_id_order(fake_server: Server) -> None:
    with fake_server.client() as client:
        for query in ("", "?level=fine"):
            response = client.get(f"/class-names{query}")
            assert response.status_code == 200
            names = ClassNames.model_validate_json(response.content)
            assert names.classes == list(CLASSES)


def test_the_coarse_classes_are_listed_on_request(fake_server: Server) -> None:
    with fake_server.client() as client:
        response = client.get("/class-names", params={"level": "coarse"})
    assert response.status_code == 200
    assert ClassNames.model_validate_json(response.content).classes == ["dark", "light"]


def test_an_unknown_level_is_refused(fake_server: Server) -> None:
    with fake_server.client() as client:
        response = client.get("/class-names", params={"level": "medium"})
    assert response.status_code == 422
    assert Problem.model_validate_json(response.content).code == "parameter-out-of-range"


def test_a_model_without_a_hierarchy_has_no_coarse_classes(tmp_path: Path) -> None:
    bundle = write_fake_bundle(tmp_path / "flat", hierarchy=False)
    with live(make_service(bundle)) as flat, flat.client() as client:
        response = client.get("/class-names", params={"level": "coarse"})
        assert response.status_code == 422
        problem = Problem.model_validate_json(response.content)
        assert problem.code == "parameter-out-of-range"
        assert "no coarse classes" in problem.detail
        assert client.get("/class-names").status_code == 200
