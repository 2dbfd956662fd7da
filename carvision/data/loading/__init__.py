"""Photos in batches: data sets, augmentation, cache, loader."""
