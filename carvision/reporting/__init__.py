"""What a reader sees: progress, tables, pages."""
