"""The JSON of responses, as pydantic models, for /openapi.json and for tests of responses."""

from pydantic import BaseModel, ConfigDict, Field

from greengrocer.ranking import Level


class Schema(BaseModel):
    """A closed JSON object."""

    model_config = ConfigDict(extra="forbid")


class ClassNames(Schema):
    """The classes, in class-id order."""

    classes: list[str] = Field(examples=[["Golden-Delicious", "Granny-Smith"]])


class Guess(Schema):
    """A class and its probability."""

    prediction: str
    confidence: float = Field(ge=0, le=1)


class RankedClass(Schema):
    """One of the best classes."""

    model_config = ConfigDict(extra="forbid", serialize_by_alias=True)

    name: str = Field(alias="class")
    confidence: float = Field(ge=0, le=1)


class NamedAnswer(Schema):
    """The answer that the model is sure enough of."""

    level: Level = Field(description="fine: a class; coarse: a coarse class; unknown: neither")
    name: str | None = Field(description="a class of that level; null if unknown")


class Model(Schema):
    """A model and its version: in an answer, those that gave it."""

    name: str
    version: str


class Evidence(Schema):
    """Where in the image the model sees its prediction: an exact class activation map."""

    name: str = Field(alias="class", description="the prediction", examples=["Granny-Smith"])
    shape: tuple[int, int] = Field(
        description="rows and columns, spread evenly over the upright image, or over its box",
        examples=[[10, 10]],
    )
    values: list[float] = Field(
        description="row by row, in logits; their mean is the calibrated logit of the class"
    )
    box: tuple[float, float, float, float] | None = Field(
        None,
        description="left, top, right and bottom of what the model sees, as shares of the upright "
        "image's width and height; absent for a model that sees all of it",
    )


class Prediction(Schema):
    """What the image shows."""

    prediction: str = Field(description="the likeliest class", examples=["Granny-Smith"])
    confidence: float = Field(ge=0, le=1, description="its calibrated probability")
    coarse: Guess | None = Field(
        description="the likeliest coarse class, by the sum of its classes' probabilities; "
        "null for a model without a hierarchy"
    )
    answer: NamedAnswer = Field(
        description="the fine class, the coarse one where the fine one is unsure, or unknown"
    )
    known: bool | None = Field(
        description="false: the image seems to show none of the model's classes; null for a model "
        "that gives no known score"
    )
    known_score: float | None = Field(
        ge=0, le=1, description="out-of-distribution score: 1 is known; null for a model without it"
    )
    top: list[RankedClass] = Field(description="the best classes, in order")
    model: Model
    request_id: str
    evidence: Evidence | None = Field(
        None, description="absent unless explain is true, and for a model that gives none"
    )


class PredictionLine(Prediction):
    """The prediction for one image of many."""

    index: int = Field(ge=0, description="its place in the request")


class DescribedModel(Schema):
    """A model that serves, and what it can do."""

    name: str = Field(description="its name in paths", examples=["grocery"])
    version: str
    default: bool = Field(description="whether it answers where a path names no model")
    classes: int = Field(description="how many; /models/{name}/class-names lists them")
    coarse_classes: int | None = Field(description="null for a model without a hierarchy")
    known: bool = Field(description="whether it tells if an image shows anything known")
    evidence: bool = Field(description="whether it shows where its evidence is")
    figures: dict[str, float] = Field(description="what its bundle says of its quality, by name")


class ModelList(Schema):
    """The models that serve, the default first."""

    models: list[DescribedModel]


class ModelHealth(Schema):
    """A model's state."""

    name: str
    version: str | None = Field(description="null for a model that does not serve")
    state: str = Field(description="ready, failed or unloaded")


class Health(Schema):
    """A service's state."""

    status: str = Field(examples=["ready"])
    models: list[ModelHealth] | None = Field(
        None, description="with ?verbose: those that could not be loaded, too"
    )


class Problem(BaseModel):
    """A problem document (RFC 9457): why a request was refused."""

    type: str = Field(examples=["urn:greengrocer:problem:too-many-pixels"])
    title: str = Field(description="the same for every problem of this type")
    status: int
    detail: str = Field(description="what was wrong with this request, and what to do")
    instance: str | None = Field(
        None,
        description="the request's path, percent-encoded; absent if the request could not be read",
    )
    code: str = Field(description="the type's last part: stable", examples=["too-many-pixels"])
    request_id: str
    model: Model | None = Field(
        None, description="what gave no answer; absent if the fault is the request's"
    )


class ProblemLine(Problem):
    """Why one image of many was refused, or why no more of the request was read."""

    index: int = Field(ge=0, description="its place in the request")
