"""manifest -> out-of-fold predictions and registered models.

``step`` trains backbones one after the other. For each of them ``fold_set`` makes the jobs and
finds those that are finished, ``description`` is what the backbone's run says, ``fold_run`` is the
life of one fold, ``begun_folds`` finds what an earlier process left of it, and
``register_backbone`` makes a version of the finished folds.
"""
