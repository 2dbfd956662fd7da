"""Prepare data: find the photos, look at each of them, deal out folds, log a manifest."""
