"""From the photos of a folder to a manifest: scan, copies, exclusions, folds."""
