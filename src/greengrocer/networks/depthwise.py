"""Depthwise convolutions whose gradients take the routes that oneDNN has fast kernels for.

On CPUs PyTorch computes these gradients with oneDNN, which runs strides of 2 and kernels of 5 in
reference code, tens of times slower than the forward pass. Both gradients can be expressed by fast
operations: a forward convolution of stride 1, and the weight gradient of a kernel of 3.
Together they halve a training step of EfficientNet-Lite on two cores.
"""

from typing import Any

import torch
from torch.nn import functional as F

FAST = 3  # side of the largest kernel whose weight gradient is fast

_gradients = torch.ops.aten.convolution_backward


def depthwise_conv(x: torch.Tensor, weight: torch.Tensor, stride: int) -> torch.Tensor:
    """[N, C, H, W] (padded already) with a filter [C, 1, k, k] for each channel, k being 3 or 5.

    The same as ``conv2d`` with C groups; the gradients differ in nothing but rounding.
    """
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        x, weight = x.to(dtype), weight.to(dtype)
    convolved: torch.Tensor = _DepthwiseConv.apply(x, weight, stride)  # type: ignore[no-untyped-call]
    return convolved


class _DepthwiseConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, stride: int) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, None, stride, 0, 1, x.shape[1])

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        wants_x, wants_weight = ctx.needs_input_grad[:2]
        by_x = _gradient_of_input(grad, x, weight, ctx.stride) if wants_x else None
        by_weight = _gradient_of_weight(grad, x, weight, ctx.stride) if wants_weight else None
        return by_x, by_weight, None


def _gradient_of_input(
    grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, stride: int
) -> torch.Tensor:
    """A convolution of stride 1 with the mirrored filter, over ``grad`` spread by zeros."""
    count, channels, height, width = grad.shape
    if stride > 1:
        spread = grad.new_zeros(
            count, (height - 1) * stride + 1, (width - 1) * stride + 1, channels
        )
        spread = spread.permute(0, 3, 1, 2)  # channels last in memory
        spread[:, :, ::stride, ::stride] = grad
        grad = spread
    reach = weight.shape[2] - 1
    found = F.conv2d(grad, weight.flip(2, 3), None, 1, reach, 1, channels)
    # Rows and columns that the last step of the filter did not reach.
    below, right = x.shape[2] - found.shape[2], x.shape[3] - found.shape[3]
    return F.pad(found, (0, right, 0, below)) if below or right else found


def _gradient_of_weight(
    grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, stride: int
) -> torch.Tensor:
    """The gradient of a large filter from overlapping windows of a small one."""
    side, channels = weight.shape[2], x.shape[1]
    height = (grad.shape[2] - 1) * stride + FAST
    width = (grad.shape[3] - 1) * stride + FAST
    found = torch.empty_like(weight)
    corners = range(0, side - FAST + 1, 2)
    for top in corners:
        for left in corners:
            seen = x[:, :, top : top + height, left : left + width]
            seen = seen.contiguous(memory_format=torch.channels_last)
            small = weight.new_empty(channels, 1, FAST, FAST)
            window = _gradients(
                grad, seen, small, None, [stride, stride], [0, 0], [1, 1], False, [0, 0],
                channels, [False, True, False],
            )[1]  # fmt: skip
            found[:, :, top : top + FAST, left : left + FAST] = window
    return found
