"""The attributes of a span of an image, by name.

OpenTelemetry has no convention for plain inference. These are the names that Triton uses, so that
dashboards for it find ours. A later convention changes this file and no other.
"""

SPAN = "classify"  # the span of an image, above those of its stages

MODEL_NAME = "triton.model_name"
MODEL_VERSION = "triton.model_version"
REQUEST_ID = "triton.request_id"

# What Triton has no name for.
REFUSED = "greengrocer.refused"  # the code of a refusal
