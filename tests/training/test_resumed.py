"""A rerun reuses only results that it would compute itself, and loses none."""

import argparse
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from greengrocer.bundles.bundle import load_bundle
from greengrocer.bundles.manifest import read_manifest
from greengrocer.cli import train as command
from greengrocer.datasets.dataset import Dataset, LabelledImage, Taxonomy, read_split
from greengrocer.errors import UsageError
from greengrocer.evaluation.training_overlap import scored_images
from greengrocer.training.learning.checkpoint import TeacherId, read_state, weights_digest
from greengrocer.training.learning.fit import Trainer
from greengrocer.training.out_of_fold import FoldAnswers
from greengrocer.training.plan import Folds
from greengrocer.training.recipe import Augmentation, Distillation, Export, Optimisation, Recipe
from greengrocer.training.release.finish import RawAnswers, calibrate
from greengrocer.training.train import train
from support.make_images import encoded, photo

TEACHER = Recipe(
    name="tones",
    backbone="efficientnet-lite0",
    pretrained=False,
    augmentation=Augmentation(image_size=32),
    optimisation=Optimisation(epochs=1, batch_size=4),
    export=Export(image_size=32, calibration_images=4),
)
STUDENT = TEACHER.model_copy(update={"distillation": Distillation(weight=0.5)})
TONES = {"dark": 50, "light": 200}
CHECKPOINT = "{}.holdout.checkpoint.pt"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``data``, a training ``teacher`` on it, and a ``student`` of that one."""
    home = tmp_path_factory.mktemp("resumed")
    for tone, level in TONES.items():
        (home / "data" / tone).mkdir(parents=True)
        for number in range(10):
            plain = Image.new("RGB", (96, 72), (level,) * 3)
            faint = Image.blend(plain, photo(number, plain.size), 0.2)
            path = home / "data" / tone / f"{number}.jpg"
            path.write_bytes(encoded(faint, "JPEG", quality=90))
    train(TEACHER, home / "data", home / "teacher", "cpu")
    train(STUDENT, home / "data", home / "student", "cpu", teachers=[home / "teacher"])
    return home


@pytest.fixture
def again(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it without the student's bundle, in which nothing may be trained again."""
    copy = shutil.copytree(home, tmp_path / "again")
    shutil.rmtree(copy / "student")
    monkeypatch.delattr(Trainer, "train_epoch")
    return copy


def learn(home: Path, teacher: str, recipe: Recipe = STUDENT) -> Path:
    return train(recipe, home / "data", home / "student", "cpu", teachers=[home / teacher])


def refusal(home: Path, teacher: str = "teacher", recipe: Recipe = STUDENT) -> str:
    with pytest.raises(UsageError) as refused:
        learn(home, teacher, recipe)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def other_weights(home: Path, name: str) -> str:
    """Another teacher under this name; the digest of its weights."""
    state = read_state(home / CHECKPOINT.format("teacher"))
    state["average"]["head.bias"] += 1
    torch.save(state, home / CHECKPOINT.format(name))
    return weights_digest(state["average"])


@pytest.mark.accept
def test_a_bundle_names_its_teacher_and_what_computed_it(home: Path) -> None:
    found = read_manifest(home / "student").provenance
    state = read_state(home / CHECKPOINT.format("teacher"))
    assert found["teachers"] == ["teacher"]
    assert found["teacher_weights"] == [weights_digest(state["average"])]
    assert found["device"] == "cpu"
    assert found["precision"] == read_state(home / CHECKPOINT.format("student"))["precision"]


@pytest.mark.accept
def test_a_bundle_lists_the_images_that_trained_it(home: Path) -> None:
    labelled = read_split(home / "data", "val")
    bundle = load_bundle(home / "teacher")
    assert scored_images(bundle, labelled, unseen=False)[1].trained_on == 16
    left, seen = scored_images(bundle, labelled, unseen=True)
    assert (len(left.pictures), seen) == (4, (0, 16))


@pytest.mark.accept
def test_another_teacher_is_refused(again: Path) -> None:
    first = weights_digest(read_state(again / CHECKPOINT.format("teacher"))["average"])
    second = other_weights(again, "other")
    told = refusal(again, "other")
    assert f"learned from teacher ({first[:12]}), not from other ({second[:12]})" in told
    assert told.endswith("name the teacher that it began with, or delete it, or name another --out")


@pytest.mark.accept
def test_a_retrained_teacher_is_refused(again: Path) -> None:
    other_weights(again, "teacher")
    assert "learned from teacher (" in refusal(again)


@pytest.mark.accept
def test_a_moved_teacher_is_accepted(again: Path) -> None:
    shutil.move(again / CHECKPOINT.format("teacher"), again / CHECKPOINT.format("moved"))
    assert read_manifest(learn(again, "moved")).provenance["teachers"] == ["moved"]


@pytest.mark.accept
def test_a_student_without_a_recorded_teacher_is_refused(again: Path) -> None:
    path = again / CHECKPOINT.format("student")
    state = read_state(path)
    del state["teachers"]
    torch.save(state, path)
    assert "does not say which teacher it learned from: delete it" in refusal(again)


@pytest.mark.accept
def test_other_images_with_the_same_names_are_refused(again: Path) -> None:
    path = again / "data" / "dark" / "3.jpg"
    path.write_bytes(path.read_bytes() + b"\0")
    assert "was written for other images: their bytes differ" in refusal(again)


@pytest.mark.accept
def test_differences_between_recipes_are_named(again: Path) -> None:
    how = STUDENT.optimisation.model_copy(update={"epochs": 2, "precision": "float32"})
    told = refusal(again, recipe=STUDENT.model_copy(update={"optimisation": how}))
    assert "(optimisation.epochs was 1, is 2; optimisation.precision was auto, is float32)" in told


def refuse(*_: object) -> None:
    raise UsageError("the graph is too large")


@pytest.mark.accept
def test_a_refusal_at_the_end_says_what_is_kept_and_how_to_continue(
    again: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("greengrocer.training.train.write_bundle", refuse)
        told = refusal(again)
    kept = again / CHECKPOINT.format("student")
    why, _, rest = told.partition("; ")
    assert why == "the graph is too large"
    assert rest == f"the training so far is kept in {kept}: continue with the same training"
    more = STUDENT.export.model_copy(update={"calibration_images": 8})
    learn(again, "teacher", STUDENT.model_copy(update={"export": more}))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, OSError])
@pytest.mark.accept
def test_a_failure_in_the_last_phase_keeps_the_network(
    again: Path,
    error: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("greengrocer.training.train.write_bundle", fail)
        with pytest.raises(error):
            learn(again, "teacher")
    kept = again / CHECKPOINT.format("student")
    line = f"greengrocer: the training so far is kept in {kept}: continue with the same training"
    assert line in capsys.readouterr().err.splitlines()


def test_the_printed_command_is_the_one_that_was_run() -> None:
    given = ["--recipe", "a b.toml", "--data", "photos", "--out", "runs/x", "--folds", "3"]
    given += ["--teacher", "runs/y", "--teacher", "runs/z", "--device", "cpu"]
    parser = argparse.ArgumentParser()
    command.register(parser.add_subparsers())
    told = command.command_line(parser.parse_args(["train", *given]))
    assert told == (
        "greengrocer train photos --out runs/x --recipe 'a b.toml' --device cpu --folds 3 "
        "--teacher runs/y --teacher runs/z"
    )
    given = ["photos", "--out", "x", "--minutes", "2.5", "--coarse", "none", "--exclude", "*_t.jpg"]
    told = command.command_line(parser.parse_args(["train", *given]))
    assert told == (
        "greengrocer train photos --out x --minutes 2.5 --coarse none --exclude '*_t.jpg'"
    )


class TestAnswersOfFolds:
    """The file of out-of-fold answers, of four images in two folds."""

    PICTURES = tuple(LabelledImage(Path(f"a/{k}.jpg"), k % 2, f"{k:064}") for k in range(4))
    TAUGHT = (TeacherId("one", "1" * 64), TeacherId("one", "2" * 64))

    def answers(
        self,
        path: Path,
        recipe: Recipe = STUDENT,
        pictures: tuple[LabelledImage, ...] = PICTURES,
        where: tuple[int, ...] = (0, 0, 1, 1),
        teachers: tuple[TeacherId, ...] = TAUGHT,
    ) -> FoldAnswers:
        labelled = Dataset(Taxonomy(("x", "y")), pictures)
        return FoldAnswers(path, recipe, Folds(2, labelled, np.array(where)), teachers)

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "out.out_of_fold.npz"
        answers = self.answers(path)
        answers.begin()
        logits = np.ones((2, 2), np.float32)
        answers.add(0, RawAnswers(logits, logits, logits[:, 0], np.array([0, 1])))
        return path

    def test_kept_answers_are_reused(self, path: Path) -> None:
        found = self.answers(path)
        assert [found.complete(fold) for fold in (0, 1)] == [True, False]

    def test_which_images_a_cascade_looked_at_again_is_kept(self, tmp_path: Path) -> None:
        export = STUDENT.export.model_copy(update={"views": (0.7, 1.0), "cascade": 0.7})
        recipe, path = STUDENT.model_copy(update={"export": export}), tmp_path / "out.npz"
        logits, again = np.ones((2, 2), np.float32), np.array([0, 1], np.float32)
        raw = RawAnswers(logits, logits, logits[:, 0], np.array([0, 1]), looked_again=again)
        self.answers(path, recipe).add(1, raw)
        pooled = self.answers(path, recipe).pooled()
        assert pooled.looked_again is not None
        assert pooled.looked_again.tolist() == [0, 1]
        found = calibrate(pooled, None, recipe, "out_of_fold")
        assert found.metrics["out_of_fold_looked_again"] == 50

    def test_another_teacher_is_refused(self, path: Path) -> None:
        for teachers in ((self.TAUGHT[0], TeacherId("two", "3" * 64)), self.TAUGHT[::-1], ()):
            with pytest.raises(UsageError, match="name the teacher that it began with"):
                self.answers(path, teachers=teachers)

    def test_images_of_other_bytes_are_refused(self, path: Path) -> None:
        other = (LabelledImage(Path("a/0.jpg"), 0, "f" * 64), *self.PICTURES[1:])
        with pytest.raises(UsageError, match="for other images: their bytes differ: delete it"):
            self.answers(path, pictures=other)

    def test_other_folds_are_refused(self, path: Path) -> None:
        with pytest.raises(UsageError, match="is of other folds: delete it"):
            self.answers(path, where=(0, 1, 1, 0))

    def test_another_export_discards_the_kept_answers(
        self, path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        more = STUDENT.export.model_copy(update={"calibration_images": 8})
        found = self.answers(path, STUDENT.model_copy(update={"export": more}))
        assert not found.complete(0)
        told = "the fold models answer again (export.calibration_images was 4, is 8)\n"
        assert capsys.readouterr().out == told
        assert self.answers(path).complete(0)  # nothing is lost before they have begun to
        limit = STUDENT.export.model_copy(update={"max_graph_megabytes": 9.0})
        assert self.answers(path, STUDENT.model_copy(update={"export": limit})).complete(0)
