"""Muon: momentum whose update is made orthogonal, for the matrices inside a model.

After Keller Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024). On
this model it reaches in the same time a lower loss than AdamW alone does.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

# The coefficients of the quintic of that article: five steps bring singular values near one.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_STEPS = 5


def orthogonalise(stack: Tensor) -> Tensor:
    """Return matrices near the closest orthogonal ones of ``stack``, by Newton-Schulz steps."""
    a, b, c = _QUINTIC
    tall = stack.shape[1] > stack.shape[2]
    x = stack.mT if tall else stack
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """The optimiser. Matrices of one shape are handled in one stack: a core has little to launch.

    Args:
        parameters: Matrices only.
        lr: The size of a step, as a share of a matrix with singular values of one.
        momentum: The share of the past in the running mean of gradients.
        weight_decay: The share of ``lr`` by which weights shrink at each step.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.05,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Move every parameter along its gradient."""
        assert closure is None
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                by_shape[parameter.shape].append(parameter)
            for parameters in by_shape.values():
                self._step_stack(parameters, group)

    def _step_stack(self, parameters: list[Tensor], group: dict[str, float]) -> None:
        momentum, lr = group["momentum"], group["lr"]
        gradient = torch.stack([parameter.grad for parameter in parameters])
        state = self.state[parameters[0]]
        if "mean" not in state:
            state["mean"] = torch.zeros_like(gradient)
        mean = state["mean"].lerp_(gradient, 1 - momentum)
        update = orthogonalise(gradient.lerp(mean, momentum))
        rows, columns = parameters[0].shape
        scale = lr * max(1.0, rows / columns) ** 0.5
        for parameter, direction in zip(parameters, update, strict=True):
            parameter.mul_(1 - lr * group["weight_decay"]).add_(direction, alpha=-scale)
