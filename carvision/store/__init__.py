"""What MLflow keeps for later steps: runs, prepared data, fold sets, registered models.

The connection: ``client``, ``address``, ``server``, ``errors``; for a local store ``database`` and
``relocation``. Runs: ``tags``, ``runs``, ``artifacts``, and how they begin and end: ``begun_runs``,
``open_runs``, ``unstarted_runs``, ``killed_runs``, ``process``. What runs hold: ``prepared``,
``fold_sets``, ``ensemble_oof``. The registry: ``registration`` writes versions;
``member_versions``, ``member_choice``, ``pins`` and ``champions`` read them; ``model_files`` holds
their files.
"""
