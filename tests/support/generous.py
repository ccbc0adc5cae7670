"""A service whose answers are large, whatever its model is."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from greengrocer.context import Context
from greengrocer.imaging.decode import Picture
from greengrocer.ranking import Answer, AnswerOptions
from greengrocer.serving.admission import Admission, AdmissionLimits
from greengrocer.serving.classifier import LocalClassifier
from greengrocer.serving.models import Models
from greengrocer.serving.served import Served
from greengrocer.web.service import Service
from support.live import MEGA, make_service


class Generous(LocalClassifier):
    """Gives answers of ``size`` bytes to requests for evidence."""

    size = MEGA
    classified = 0
    then: Callable[[int], None] = staticmethod(lambda _: None)  # with the images so far

    async def classify(
        self, picture: Picture, context: Context, options: AnswerOptions, model: str | None = None
    ) -> Served:
        """A usual answer, with much evidence."""
        served = await super().classify(picture, context, options, model)
        self.classified += 1
        self.then(self.classified)
        return served._replace(answer=self._enlarged(served.answer))

    def _enlarged(self, answer: Answer) -> Answer:
        values = np.zeros((1, self.size // 4), np.float32)
        return replace(
            answer,
            evidence=None if answer.evidence is None else values,
            overlay=answer.overlay and bytes(self.size),
            tensors={**answer.tensors, "evidence": values},
        )


def generous_service(
    bundle: Path, size: int, room: int, shares: Mapping[str, float] | None = None
) -> Service:
    """A service whose answers have so many bytes, with room for so many."""
    admission = Admission(AdmissionLimits(room, 3.0, shares or {}), 1, 0.01)
    service = make_service(bundle)
    local = service.classifier
    assert isinstance(local, LocalClassifier)
    classifier = Generous(Models(local.models.current), 1)
    classifier.size = size
    local.close()
    return replace(service, admission=admission, classifier=classifier)
