"""How predictions and training steps are computed on the machine at hand."""

from dataclasses import dataclass, replace
from typing import Self

from carvision.config import LoaderConfig, RunSettings
from carvision.inference.device import prediction_precision, resolve_device, resolve_precision


@dataclass(frozen=True)
class ComputeSettings:
    """Device, precision, photos in a batch, and the processes that decode them."""

    device: str
    precision: str
    batch_size: int
    loader: LoaderConfig

    @classmethod
    def of(cls, settings: RunSettings) -> Self:
        """What the settings of a run mean on this machine.

        Raises:
            ConfigError: the device is not available, or cannot compute in the precision.
        """
        device = resolve_device(settings.device)
        precision = resolve_precision(settings.precision, device)
        return cls(device, precision, settings.inference.batch_size, settings.loader)

    def for_model(self, trained: RunSettings, wanted: str = "auto") -> Self:
        """These settings in the precision for predictions of a model with the settings ``trained``.

        ``wanted`` is the precision that the user set (see :func:`prediction_precision`).
        """
        return replace(self, precision=prediction_precision(wanted, trained.precision, self.device))
