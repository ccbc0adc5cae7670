import pytest
import torch
from torch.nn import functional as F

from greengrocer.networks.depthwise import depthwise_conv


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(11, 11), (12, 9)])
def test_the_gradients_equal_those_of_a_grouped_convolution(
    kernel: int, stride: int, size: tuple[int, int]
) -> None:
    random = torch.Generator().manual_seed(1)
    x = torch.randn(2, 8, *size, generator=random).to(memory_format=torch.channels_last)
    weight = torch.randn(8, 1, kernel, kernel, generator=random)
    x.requires_grad_()
    weight.requires_grad_()
    expected = F.conv2d(x, weight, None, stride, 0, 1, 8)
    found = depthwise_conv(x, weight, stride)
    assert torch.equal(found, expected)
    grad = torch.randn(expected.shape, generator=random)
    for ours, theirs in zip(
        torch.autograd.grad(found, (x, weight), grad),
        torch.autograd.grad(expected, (x, weight), grad),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_each_gradient_can_be_computed_alone() -> None:
    x, weight = torch.randn(1, 4, 8, 8), torch.randn(4, 1, 3, 3, requires_grad=True)
    convolved = depthwise_conv(x, weight, 1)
    (by_weight,) = torch.autograd.grad(convolved.sum(), (weight,))
    assert by_weight.shape == weight.shape
    (by_input,) = torch.autograd.grad(
        depthwise_conv(x.requires_grad_(), weight.detach(), 1).sum(), (x,)
    )
    assert by_input.shape == x.shape
