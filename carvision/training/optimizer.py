"""The optimiser and its parameter groups."""

import torch
from torch import nn

from carvision.config.schema import OptimizerConfig
from carvision.models import classifier_parameters
from carvision.models.timm_api import load_timm


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """AdamW or SGD, with a learning rate for the classifier and, where configured, for each layer.

    The first group has the plain learning rate; it is empty where every parameter has a factor.
    Norms and biases do not decay, nor what timm exempts: position embeddings, tables, tokens.
    Layer-wise decay of the learning rate: Clark et al., arXiv 2003.10555, with timm's layers.
    """
    classifier = classifier_parameters(model)
    exempt = tuple(getattr(model, "no_weight_decay", tuple)())
    factors = _layer_factors(model, config.layer_decay)
    # Parameters by learning rate's factor and by whether they decay.
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {(1.0, True): []}
    for name, parameter in model.named_parameters():
        factor = config.head_lr_factor if name in classifier else factors[id(parameter)]
        # Some of timm's models list whole names, some only the last part.
        decays = parameter.ndim > 1 and not name.endswith(exempt)
        groups.setdefault((factor, decays), []).append(parameter)
    settings = [
        {
            "params": parameters,
            "lr": config.lr * factor,
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (factor, decays), parameters in groups.items()
    ]
    if config.name == "sgd":
        return torch.optim.SGD(settings, momentum=config.momentum, nesterov=config.momentum > 0)
    return torch.optim.AdamW(settings, fused=True)


def _layer_factors(model: nn.Module, layer_decay: float) -> dict[int, float]:
    """The share of the learning rate that each parameter, by its id, gets."""
    if layer_decay == 1.0:
        return {id(parameter): 1.0 for parameter in model.parameters()}
    layers = load_timm().optim.param_groups_layer_decay(model, layer_decay=layer_decay)
    return {id(parameter): layer["lr_scale"] for layer in layers for parameter in layer["params"]}
