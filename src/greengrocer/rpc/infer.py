"""``ModelInfer``: a message with images in, a message with tensors out."""

from starlette.requests import Request
from starlette.responses import Response

from greengrocer.rpc.call import call_of
from greengrocer.rpc.named_model import named_model
from greengrocer.rpc.tensors import infer_message, read_infer
from greengrocer.web.open_inference.answers import answer_images
from greengrocer.web.open_inference.outputs import output_tensors, wanted_outputs
from greengrocer.web.request_state import state_of
from greengrocer.web.routes.parameters import read_patience
from greengrocer.web.service import Service


async def model_infer(service: Service, request: Request) -> Response:
    """Answer for all images in the message of ``request``; raises a Refusal."""
    state, call = state_of(request.scope), call_of(request.scope)
    patience = read_patience(dict(request.scope["headers"]))
    end = min(call.end, state.arrived + patience)
    with service.stage("upload"):
        message = await call.message(end)
    asked = read_infer(message)
    model = named_model(service, request, asked.model, asked.version)
    with service.admission.reserve_bytes(model.key) as receipt:
        receipt.grow(len(message))
        images = asked.images(service.upload_limits)
        wanted = wanted_outputs(asked.request, model.labels)
        answers = await answer_images(service, model, wanted, images, state, end)
    tensors = output_tensors(answers, wanted, model.labels)
    body = infer_message(model.labels, tensors, asked.request.id, raw=bool(asked.raw))
    return Response(state.hold_until_sent(service.admission, body, model.key))
