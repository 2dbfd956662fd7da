"""What MLflow keeps for later steps: runs, prepared data, fold sets, registered models."""
