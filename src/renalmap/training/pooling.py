"""Several processes as one: sums, batch norm and dropout over the whole batch, however it is shared.

With these, a step of several processes equals the step of one process with the whole batch, up to rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn

from renalmap.training.launch import Launch


class _Sum(torch.autograd.Function):
    """The sum over processes. Each differentiates the same loss, so gradients are summed as well."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        del context
        total = values.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return _Sum.forward(context, gradient)


def sum_over_processes(values: Tensor) -> Tensor:
    """The sum of a tensor over all processes, the same on each; differentiable. Alone: the tensor."""
    if not distributed.is_available() or not distributed.is_initialized():
        return values
    total: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return total


def count_processes() -> int:
    """How many processes train together; 1 alone."""
    if not distributed.is_available() or not distributed.is_initialized():
        return 1
    return distributed.get_world_size()


class PooledBatchNorm2d(nn.BatchNorm2d):
    """Batch norm with the moments of all processes' samples, of which each has the same number.

    It is for the CPU, on which `torch.nn.SyncBatchNorm` refuses to work.
    """

    def forward(self, x: Tensor) -> Tensor:
        """As `nn.BatchNorm2d` on all processes' samples together."""
        if not self.training:
            return super().forward(x)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        variance, mean = torch.var_mean(wide, dim=(0, 2, 3), correction=0)
        # In double precision the difference of squares below loses nothing that single precision holds.
        mean, variance = mean.double(), variance.double()
        moments = sum_over_processes(torch.stack([mean, variance + mean.square()]))
        mean, square = moments / count_processes()
        variance = square - mean.square()
        self._remember(mean.detach(), variance.detach(), x.numel() // x.shape[1] * count_processes())
        scale = self.weight * torch.rsqrt(variance + self.eps).to(wide.dtype)
        shift = self.bias - mean.to(wide.dtype) * scale
        normed: Tensor = wide * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)
        return normed.to(x.dtype)

    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        unbiased = variance * (count / (count - 1))
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
        self.num_batches_tracked += 1


class PooledDropout2d(nn.Module):
    """Dropout whose draw is the whole batch's, of which each process takes its samples' rows.

    All processes seed torch's generator alike before every step, and so draw alike.
    """

    def __init__(self, p: float, launch: Launch) -> None:
        super().__init__()
        self.p = p
        self._launch = launch

    def forward(self, x: Tensor) -> Tensor:
        """As `nn.Dropout2d` on all processes' samples together."""
        if not self.training:
            return x
        count = len(x) * self._launch.world
        kept = torch.empty(count, x.shape[1], 1, 1, dtype=x.dtype, device=x.device)
        kept.bernoulli_(1 - self.p).div_(1 - self.p)
        return x * kept[self._launch.rank :: self._launch.world]


def pool_over_processes(network: nn.Module, launch: Launch, *, batch_norm: bool) -> None:
    """Make a network's dropout, and on request its batch norm, work on all processes' samples together.

    Parameters and their names stay. On CUDA batch norm is PyTorch's `SyncBatchNorm`.

    Args:
        network: on its device; changed in place.
        launch: alone, nothing is changed.
        batch_norm: whether moments are pooled.
    """
    if launch.world == 1:
        return
    on_cuda = next(network.parameters()).is_cuda
    _replace(network, launch, batch_norm=batch_norm and not on_cuda)
    if batch_norm and on_cuda:
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]


def _replace(module: nn.Module, launch: Launch, *, batch_norm: bool) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Dropout2d):
            setattr(module, name, PooledDropout2d(child.p, launch))
        elif batch_norm and isinstance(child, nn.BatchNorm2d):
            setattr(module, name, _pooled_norm(child))
        else:
            _replace(child, launch, batch_norm=batch_norm)


def _pooled_norm(norm: nn.BatchNorm2d) -> PooledBatchNorm2d:
    """The same parameters and buffers under another forward."""
    pooled = PooledBatchNorm2d(norm.num_features, norm.eps, norm.momentum)
    pooled.weight, pooled.bias = norm.weight, norm.bias
    pooled.running_mean, pooled.running_var = norm.running_mean, norm.running_var
    pooled.num_batches_tracked = norm.num_batches_tracked
    return pooled.train(norm.training)


def share_buffers(network: nn.Module) -> None:
    """Give every process the first one's running means, which differ where batch norm is not pooled."""
    if count_processes() > 1:
        for buffer in network.buffers():
            distributed.broadcast(buffer, src=0)


def leave_processes() -> None:
    """Leave in good order: to the others, a process that just ends looks like one that died."""
    if count_processes() > 1:
        distributed.destroy_process_group()
