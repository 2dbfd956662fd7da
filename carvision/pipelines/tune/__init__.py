"""out-of-fold predictions -> a registered ensemble."""
