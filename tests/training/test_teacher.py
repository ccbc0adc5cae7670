from pathlib import Path

import pytest
import torch

from greengrocer.cli.main import build_parser
from greengrocer.cli.train import command_line
from greengrocer.datasets.dataset import Dataset, read_split
from greengrocer.errors import UsageError
from greengrocer.training.data.batches import training_batches
from greengrocer.training.job import TrainingJob
from greengrocer.training.learning.checkpoint import names_digest
from greengrocer.training.learning.fit import Trainer, fit
from greengrocer.training.learning.teacher import Teacher, scaled, teaching_loss
from greengrocer.training.recipe import Augmentation, Data, Distillation, Optimisation, Recipe
from greengrocer.training.train import train
from support.folders import write_folders

RECIPE = Recipe(
    name="greys",
    backbone="efficientnet-lite0",
    pretrained=False,
    augmentation=Augmentation(image_size=32),
    optimisation=Optimisation(epochs=1, batch_size=4),
)
STUDENT = RECIPE.model_copy(update={"distillation": Distillation(weight=1.0, temperature=2.0)})
STEPS = 2


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    levels = {"dark": [10, 20, 30, 40], "light": [200, 210, 220, 230]}
    return read_split(write_folders(tmp_path_factory.mktemp("data"), levels), "train")


@pytest.fixture(scope="module")
def checkpoint(split: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("teacher") / "teacher.holdout.checkpoint.pt"
    fit(RECIPE, split.taxonomy, split.pictures, path)
    return path


def biased(path: Path, towards: int, to: Path) -> Path:
    """The checkpoint of a network that answers one class whatever it sees."""
    state = torch.load(path, weights_only=True)
    state["average"]["head.bias"][towards] += 50
    torch.save(state, to)
    return to


def test_the_loss_is_lowest_where_student_and_teacher_agree() -> None:
    how = Distillation(weight=1.0, temperature=3.0)
    logits = torch.tensor([[1.0, -2.0, 0.5], [0.0, 4.0, 1.0]])
    taught = (logits / 3).softmax(dim=1)
    assert teaching_loss(logits, taught, how).item() == pytest.approx(0, abs=1e-6)
    other = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    expected = -(9 * (logits / 3).log_softmax(dim=1)[[0, 1], [0, 2]]).mean()
    assert teaching_loss(logits, other, how).item() == pytest.approx(expected.item())


@pytest.mark.accept
def test_several_teachers_are_averaged(checkpoint: Path, tmp_path: Path) -> None:
    two = [biased(checkpoint, towards, tmp_path / f"{towards}.pt") for towards in (0, 1)]
    pixels = torch.zeros(3, 3, 32, 32, dtype=torch.uint8)
    taught = Teacher(two, RECIPE, 2, "cpu").answer(pixels, temperature=2.0)
    torch.testing.assert_close(taught, torch.full((3, 2), 0.5))
    assert Teacher(two[:1], RECIPE, 2, "cpu").answer(pixels, 2.0)[:, 0].min() > 0.99


def test_teachers_of_other_backbones_see_the_crop_at_their_own_size(
    split: Dataset, checkpoint: Path, tmp_path: Path
) -> None:
    other = {"backbone": "efficientnet-lite1", "augmentation": Augmentation(image_size=48)}
    large = tmp_path / "large.holdout.checkpoint.pt"
    fit(RECIPE.model_copy(update=other), split.taxonomy, split.pictures, large)
    teacher = Teacher([checkpoint, large], RECIPE, 2, "cpu")
    assert [taught.name for taught in teacher.ids] == ["teacher", "large"]
    seen: list[torch.Tensor] = []
    for taught in teacher.taught:
        taught.network.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    pixels = torch.arange(3 * 3 * 32 * 32).reshape(3, 3, 32, 32).remainder(251).to(torch.uint8)
    answer = teacher.answer(pixels, 2.0)
    assert [each.shape for each in seen] == [(3, 3, 32, 32), (3, 3, 48, 48)]
    torch.testing.assert_close(seen[1].mean(), seen[0].mean(), rtol=0, atol=0.02)
    alone = [Teacher([path], RECIPE, 2, "cpu").answer(pixels, 2.0) for path in (checkpoint, large)]
    torch.testing.assert_close(answer, torch.stack(alone).mean(dim=0))
    seen.clear()
    Trainer(STUDENT, split.taxonomy, STEPS, "cpu", teacher).train_epoch(split.pictures, threads=1)
    assert {each.shape[2:] for each in seen} == {(32, 32), (48, 48)}


def test_a_crop_is_scaled_without_aliasing() -> None:
    columns = torch.tensor([0, 255], dtype=torch.uint8).repeat(1, 3, 64, 32)
    assert scaled(columns, 64) is columns
    assert ((scaled(columns, 32)[..., 2:-2] - 127.5).abs() < 1).all()
    assert (scaled(torch.full_like(columns, 90), 100) == 90).all()


def test_teachers_of_several_seeds_teach_together_where_they_held_out_the_same(
    checkpoint: Path,
) -> None:
    other = RECIPE.model_copy(update={"seed": 1, "data": Data(seed=RECIPE.seed)})
    Teacher([checkpoint], other, 2, "cpu")
    with pytest.raises(UsageError, match="pretrained, and seed or data"):
        Teacher([checkpoint], other.model_copy(update={"data": Data(seed=5)}), 2, "cpu")


def test_the_command_takes_several_teachers() -> None:
    told = ["train", "photos", "--recipe", "a.toml", "--teacher", "runs/a", "--teacher", "runs/b"]
    arguments = build_parser().parse_args(told)
    assert arguments.teacher == [Path("runs/a"), Path("runs/b")]
    assert command_line(arguments).endswith("--teacher runs/a --teacher runs/b")


def test_a_student_follows_its_teacher_rather_than_the_labels(
    split: Dataset, checkpoint: Path, tmp_path: Path
) -> None:
    teacher = Teacher([biased(checkpoint, 1, tmp_path / "1.pt")], RECIPE, 2, "cpu")
    run = Trainer(STUDENT, split.taxonomy, STEPS, "cpu", teacher)
    before = _share_of_second(run, split)
    for _ in range(4):
        run.train_epoch(split.pictures, threads=1)
    assert _share_of_second(run, split) > before


@torch.no_grad()
def _share_of_second(run: Trainer, split: Dataset) -> float:
    pixels = torch.cat([batch for batch, _ in training_batches(split.pictures, RECIPE, 0, 1)])
    run.network.train()  # with the batch's own statistics, for the running ones lag behind
    return float(run.network((pixels.float() - 127) / 128).softmax(dim=1)[:, 1].mean())


def test_an_unfinished_or_mismatched_teacher_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="train the teacher first, with the same --folds"):
        Teacher([tmp_path / "none.pt"], RECIPE, 2, "cpu")
    with pytest.raises(UsageError, match="of other classes"):
        Teacher([checkpoint], RECIPE, 3, "cpu")
    with pytest.raises(UsageError, match="may have trained on the student's held-out images"):
        Teacher([checkpoint], RECIPE.model_copy(update={"seed": 1}), 2, "cpu")
    state = torch.load(checkpoint, weights_only=True)
    torch.save(state | {"epoch": 0}, tmp_path / "begun.pt")
    with pytest.raises(UsageError, match="has not ended"):
        Teacher([tmp_path / "begun.pt"], RECIPE, 2, "cpu")


def test_a_changed_teacher_is_noticed(split: Dataset, checkpoint: Path, tmp_path: Path) -> None:
    one, other = (
        Teacher([path], RECIPE, 2, "cpu")
        for path in (checkpoint, biased(checkpoint, 1, tmp_path / "other.holdout.checkpoint.pt"))
    )
    student = tmp_path / "student.pt"
    fit(STUDENT, split.taxonomy, split.pictures, student, teacher=one)
    fit(STUDENT, split.taxonomy, split.pictures, student, teacher=one)
    for teacher in (other, None):
        with pytest.raises(UsageError, match=r"learned from teacher \(.*\), not from (other|no t)"):
            fit(STUDENT, split.taxonomy, split.pictures, student, teacher=teacher)


def test_a_teacher_of_other_images_is_refused(split: Dataset, checkpoint: Path) -> None:
    Teacher([checkpoint], RECIPE, 2, "cpu", names_digest(split.pictures))
    with pytest.raises(UsageError, match="it trained on other images"):
        Teacher([checkpoint], RECIPE, 2, "cpu", names_digest(split.pictures[1:]))


def test_each_stage_learns_from_the_same_stage(
    split: Dataset, checkpoint: Path, tmp_path: Path
) -> None:
    teacher = checkpoint.with_name("teacher")
    job = TrainingJob(STUDENT, Path(), tmp_path / "student", "cpu", 1, (teacher,))
    job.fit("holdout", split.taxonomy, split.pictures)
    assert (tmp_path / "student.holdout.checkpoint.pt").exists()
    with pytest.raises(UsageError, match=r"there is no .*teacher\.fold1of3\.checkpoint\.pt"):
        job.fit("fold1of3", split.taxonomy, split.pictures)


@pytest.mark.parametrize(("recipe", "teachers"), [(STUDENT, []), (RECIPE, [Path("teacher")])])
def test_a_teacher_and_its_weight_must_be_set_together(
    recipe: Recipe, teachers: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="need each other: give both, or neither"):
        train(recipe, tmp_path, tmp_path / "out", "cpu", teachers=teachers)
