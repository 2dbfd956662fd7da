"""manifest -> out-of-fold predictions and registered models."""
