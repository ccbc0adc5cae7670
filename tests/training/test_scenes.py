from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from greengrocer.datasets.dataset import LabelledImage, read_split
from greengrocer.errors import DatasetUnusable
from greengrocer.training.data.embeddings import embed_images
from greengrocer.training.data.scenes import (
    NEVER_HELD_OUT,
    group_scenes,
    scene_folds,
    scene_hold_out,
)
from greengrocer.training.recipe import Recipe
from support.make_images import encoded, jpeg, photo

Pictures = tuple[LabelledImage, ...]

BY_THUMBNAILS = Recipe(name="any", backbone="efficientnet-lite0", pretrained=False)

# Frames a scene, for each class; pear has but one scene.
BURSTS = {"apple": [3, 1, 2, 1, 1, 4], "pear": [5], "quince": [2, 2]}


def frame(seed: int, number: int, noise: float = 12) -> bytes:
    """A frame of the burst ``seed``, a little different from the others."""
    pixels = np.asarray(photo(seed, (96, 72)), np.float64)
    pixels = pixels + np.random.default_rng((seed, number)).normal(0, noise, pixels.shape)
    return encoded(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), "JPEG", quality=85)


def scenes_of(pictures: Pictures) -> list[int]:
    return group_scenes(pictures, embed_images(pictures, BY_THUMBNAILS).embeddings)


@pytest.fixture(scope="module")
def bursts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pictures, list[int]]:
    """Images of several bursts, and the burst that each is of."""
    home, burst, truth = tmp_path_factory.mktemp("bursts"), 0, []
    for name, scenes in BURSTS.items():
        (home / name).mkdir()
        number = 1
        for frames in scenes:
            for _ in range(frames):
                (home / name / f"{number:03}.jpg").write_bytes(frame(burst, number))
                truth.append(burst)
                number += 1
            burst += 1
    return read_split(home, "train").pictures, truth


def written(folder: Path, contents: dict[str, bytes]) -> Pictures:
    for name, content in contents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return tuple(LabelledImage(folder / name, 0) for name in contents)


def test_a_burst_is_one_scene(bursts: tuple[Pictures, list[int]]) -> None:
    pictures, truth = bursts
    assert scenes_of(pictures) == truth


def test_frames_of_a_burst_are_found_in_any_order(tmp_path: Path) -> None:
    pictures = written(tmp_path, {"1.jpg": frame(1, 1), "2.jpg": frame(2, 1), "9.jpg": frame(1, 2)})
    assert scenes_of(pictures) == [0, 1, 0]


def test_images_with_similar_embeddings_are_a_scene(tmp_path: Path) -> None:
    contents = {f"{s}{n}.jpg": frame(s, n, noise=3) for s, n in ((1, 1), (1, 2), (2, 1))}
    pictures = written(tmp_path, contents)
    embeddings = embed_images(
        pictures, BY_THUMBNAILS.model_copy(update={"pretrained": True})
    ).embeddings
    assert embeddings.shape == (3, 1280)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    assert embeddings[0] @ embeddings[1] > embeddings[0] @ embeddings[2]


def test_neighbours_of_neighbours_share_a_scene() -> None:
    pictures = [LabelledImage(Path(f"{number}.jpg"), 0) for number in range(4)]
    angles = np.deg2rad([0, 27, 54, 84])  # a cosine of 0.89 from each to the next, then 0.87
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert group_scenes(pictures, embeddings) == [0, 0, 0, 1]


def test_the_same_image_under_two_labels_is_two_scenes(tmp_path: Path) -> None:
    (path,) = (picture.path for picture in written(tmp_path, {"1.jpg": frame(1, 1)}))
    assert scenes_of((LabelledImage(path, 0), LabelledImage(path, 1))) == [0, 1]


def test_plain_images_match_no_other_image(tmp_path: Path) -> None:
    pictures = written(tmp_path, {"1.jpg": jpeg(10), "2.jpg": jpeg(10)})
    assert scenes_of(pictures) == [0, 1]


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnusable, match=r"1\.jpg: the file is not an image"):
        scenes_of(written(tmp_path, {"1.jpg": b"no image"}))


@pytest.mark.parametrize("folds", [2, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_no_scene_is_split_and_every_class_is_trained(
    bursts: tuple[Pictures, list[int]], folds: int, seed: int
) -> None:
    pictures, scenes = bursts
    found = scene_folds(pictures, scenes, folds, seed)
    assert len(set(zip(scenes, found, strict=True))) == len(set(scenes))
    for fold in range(folds):
        training = {p.label for p, where in zip(pictures, found, strict=True) if where != fold}
        assert training == {0, 1, 2}
    assert {where for p, where in zip(pictures, found, strict=True) if p.label == 1} == {
        NEVER_HELD_OUT
    }


def test_a_class_is_spread_as_evenly_as_its_scenes_allow(
    bursts: tuple[Pictures, list[int]],
) -> None:
    found = scene_folds(*bursts, folds=3, seed=0)
    apples = Counter(where for p, where in zip(bursts[0], found, strict=True) if p.label == 0)
    assert sorted(apples.values()) == [4, 4, 4]


def test_folds_depend_only_on_the_seed(bursts: tuple[Pictures, list[int]]) -> None:
    assert scene_folds(*bursts, 3, seed=1) == scene_folds(*bursts, 3, seed=1)
    assert len({tuple(scene_folds(*bursts, 3, seed)) for seed in range(5)}) > 1


def test_a_quarter_of_the_scenes_is_held_out(bursts: tuple[Pictures, list[int]]) -> None:
    pictures, scenes = bursts
    training, held_out = scene_hold_out(
        pictures, embed_images(pictures, BY_THUMBNAILS).embeddings, seed=2
    )
    assert sorted(map(str, training + held_out)) == sorted(map(str, pictures))
    scene_of = dict(zip(pictures, scenes, strict=True))
    assert held_out
    assert not {scene_of[p] for p in training} & {scene_of[p] for p in held_out}
    assert {p.label for p in training} == {0, 1, 2}
