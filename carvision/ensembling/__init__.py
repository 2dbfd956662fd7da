"""Mixing members by their out-of-fold predictions, and forecasting the result's score."""
