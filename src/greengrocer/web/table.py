"""The table of routes: every endpoint of the service, a line each."""

from greengrocer.web.endpoint import Endpoint
from greengrocer.web.open_inference.routes import OPEN_INFERENCE
from greengrocer.web.page.page import PAGE, PAGE_ASSET
from greengrocer.web.routes.batch import PREDICT_BATCH
from greengrocer.web.routes.class_names import CLASS_NAMES
from greengrocer.web.routes.docs import DOCS, DOCS_ASSET, OPENAPI
from greengrocer.web.routes.gallery import RANDOM_IMAGE
from greengrocer.web.routes.health import LIVEZ, METRICS, READYZ
from greengrocer.web.routes.models import MODELS
from greengrocer.web.routes.predict import EXPLAIN, PREDICT

ENDPOINTS: tuple[Endpoint, ...] = (
    PREDICT,
    EXPLAIN,
    PREDICT_BATCH,
    CLASS_NAMES,
    *MODELS,
    RANDOM_IMAGE,
    LIVEZ,
    READYZ,
    METRICS,
    *OPEN_INFERENCE,
    PAGE,
    PAGE_ASSET,
    DOCS,
    DOCS_ASSET,
    OPENAPI,
)
