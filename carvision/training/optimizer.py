"""The optimiser and its parameter groups."""

import torch
from torch import nn

from carvision.config.schema import OptimizerConfig
from carvision.models import classifier_parameters


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """AdamW or SGD; the classifier has its own learning rate.

    Norms and biases do not decay, nor what timm exempts: position embeddings, tables, tokens.
    """
    head = classifier_parameters(model)
    exempt = tuple(getattr(model, "no_weight_decay", tuple)())
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            # Some of timm's models give whole names, some only the last part.
            key = (name in head, parameter.ndim > 1 and not name.endswith(exempt))
            groups.setdefault(key, []).append(parameter)
    settings = [
        {
            "params": parameters,
            "lr": config.lr * (config.head_lr_factor if is_head else 1.0),
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (is_head, decays), parameters in groups.items()
    ]
    if config.name == "sgd":
        return torch.optim.SGD(settings, momentum=config.momentum, nesterov=config.momentum > 0)
    return torch.optim.AdamW(settings, fused=True)
