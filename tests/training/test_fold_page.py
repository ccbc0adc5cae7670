from pathlib import Path

import numpy as np
from tools.fold_page import EACH, page

from greengrocer.datasets.dataset import read_split
from greengrocer.training.plan import Folds
from support.folders import write_folders


def test_a_row_shows_one_class_in_each_fold(tmp_path: Path) -> None:
    levels = {"dark": list(range(10, 70, 10)), "light": list(range(200, 230, 5))}
    split = read_split(write_folders(tmp_path / "data", levels), "train")
    where = np.array([0, 0, 0, 0, 0, 1] * 2)
    shown = page(Folds(2, split, where), "shops", seed=3)
    assert "What 2 folds of shops hold out" in shown
    assert "fold 1: 10 images" in shown
    assert shown.count("<img") == 2 * (EACH + 1)
    assert "http" not in shown
    dark, light = shown.split('<th scope="row">')[1:]
    assert ">dark<" in dark
    assert ">light<" in light
    assert dark.count("<td>") == 2
