"""photos -> manifest."""
