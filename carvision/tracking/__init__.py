"""Everything that faces MLflow: runs, prepared data, fold sets, the registry."""
