"""The course of a fit: how many epochs it has, which are fewer where time runs short."""

from typing import Any, NamedTuple, Self

from greengrocer.training.recipe import Recipe


class Course(NamedTuple):
    """A fit takes ``epochs``; from ``epoch`` on it runs evenly through what was left of the recipe.

    ``epoch`` had reached ``position``, counted in epochs of the recipe, of which there are
    ``planned``. Learning rate and image size depend on the position: a fit of fewer epochs goes
    through the whole course of both, only faster.
    """

    planned: int
    epochs: int
    epoch: int = 0
    position: float = 0.0

    @classmethod
    def of(cls, recipe: Recipe, state: dict[str, Any] | None = None) -> Self:
        """The course that a checkpoint's ``state`` has come to, else all epochs of ``recipe``."""
        planned = recipe.optimisation.epochs
        return cls(planned, *(state or {}).get("course", (planned,)))

    def kept(self) -> tuple[int, int, float]:
        """What a checkpoint holds of it."""
        return self.epochs, self.epoch, self.position

    def at(self, epoch: float) -> float:
        """The position of ``epoch``, counted from 0."""
        if self.epochs == self.planned:
            return epoch
        pace = (self.planned - self.position) / max(1, self.epochs - self.epoch)
        return self.position + pace * (epoch - self.epoch)

    def shortened(self, epoch: int, epochs: int) -> "Course":
        """The course that ends after ``epochs``, ``epoch`` of which are done."""
        return Course(self.planned, epochs, epoch, self.at(epoch))

    def work(self, recipe: Recipe, first: int = 0, end: int | None = None) -> float:
        """The cost of the epochs from ``first`` to before ``end``, in a unit of its own.

        Of a full-sized epoch, about half is in proportion to the pixels; decoding is not.
        """
        how = recipe.augmentation
        epochs = range(self.epochs)[first:end]
        sizes = (how.grown(self.at(each), self.planned).image_size for each in epochs)
        return sum(1 + (size / how.image_size) ** 2 for size in sizes)


class TimeLimit(NamedTuple):
    """When a training is to be over, and the seconds that its plan gives to a fit and the rest.

    Another fit, which takes ``again`` times as long as this one, is to take as many epochs.
    """

    end: float  # a time of time.monotonic
    epochs: float
    afterwards: float  # export, quantisation, calibration
    again: float = 0.0

    def fitting(
        self, course: Course, recipe: Recipe, epoch: int, unit: float, now: float
    ) -> Course:
        """``course`` with as many of its epochs as there is time for after ``epoch``, at least one.

        A unit of work takes ``unit`` seconds; where that is more than planned, what comes
        afterwards is taken to be slower, too.
        """
        planned = self.epochs / Course.of(recipe).work(recipe)
        allowed = self.end - now - self.afterwards * max(1.0, unit / planned)
        for epochs in range(course.epochs, epoch + 1, -1):
            found = course if epochs == course.epochs else course.shortened(epoch, epochs)
            other = Course.of(recipe).shortened(0, epochs)
            if unit * (found.work(recipe, epoch) + self.again * other.work(recipe)) <= allowed:
                return found
        return course if course.epochs <= epoch + 1 else course.shortened(epoch, epoch + 1)
