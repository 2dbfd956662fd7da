"""Photos: scan, manifest, folds, decoding, augmentation, loading; and the submission."""
