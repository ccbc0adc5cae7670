"""A client for the Greengrocer service.

``Client(url).predict("photo.jpg")`` sends a photo and returns the answer. ``AsyncClient`` has the
same methods for asyncio.
"""

from greengrocer_client.answers import (
    Answer,
    Evidence,
    Explanation,
    ModelId,
    NamedClass,
    Ranked,
    ServedModel,
)
from greengrocer_client.async_client import AsyncClient
from greengrocer_client.client import Client
from greengrocer_client.errors import (
    ClientError,
    DeadlineExceeded,
    ImageRefused,
    ModelFailed,
    NoEvidence,
    NotReady,
    Overloaded,
    Problem,
    RateLimited,
    Refusal,
    Unauthorized,
    UnexpectedAnswer,
    UnknownModel,
    Unreachable,
    UploadRefused,
)

__all__ = [
    "Answer",
    "AsyncClient",
    "Client",
    "ClientError",
    "DeadlineExceeded",
    "Evidence",
    "Explanation",
    "ImageRefused",
    "ModelFailed",
    "ModelId",
    "NamedClass",
    "NoEvidence",
    "NotReady",
    "Overloaded",
    "Problem",
    "Ranked",
    "RateLimited",
    "Refusal",
    "ServedModel",
    "Unauthorized",
    "UnexpectedAnswer",
    "UnknownModel",
    "Unreachable",
    "UploadRefused",
]
