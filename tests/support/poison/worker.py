"""A classifier of an HTTP process that one image hangs, together with the event loop."""

import signal
import threading

from greengrocer.context import Context
from greengrocer.imaging.decode import Picture
from greengrocer.ranking import AnswerOptions
from greengrocer.serving.served import Served
from greengrocer.serving.workers.remote import RemoteClassifier
from support.make_images import jpeg

HANGS_WORKER = jpeg(88)


def poison() -> None:
    """Let the image hang this process."""
    classify = RemoteClassifier.classify

    async def hang_or_classify(
        self: RemoteClassifier,
        picture: Picture,
        context: Context,
        options: AnswerOptions,
        model: str | None = None,
    ) -> Served:
        if isinstance(picture, bytes | memoryview) and picture == HANGS_WORKER:
            if signal.getitimer(signal.ITIMER_REAL)[0]:  # the watchdog's: let it come sooner
                signal.setitimer(signal.ITIMER_REAL, 1)
            threading.Event().wait()
        return await classify(self, picture, context, options, model)

    RemoteClassifier.classify = hang_or_classify  # type: ignore[method-assign]
