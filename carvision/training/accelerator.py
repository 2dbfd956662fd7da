"""accelerate's view of the device and precision that a run resolved."""

from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState


def make_accelerator(device: str, precision: str) -> Accelerator:
    """An accelerator for one fold's training.

    accelerate keeps its state for the life of the process and refuses another precision in it; a
    process that trains several backbones, as ``main`` does, starts each from a fresh state.
    """
    AcceleratorState._reset_state()
    PartialState._reset_state()
    mixed = "no" if precision == "fp32" else precision
    return Accelerator(cpu=device == "cpu", mixed_precision=mixed)
