"""One photo: its file, its metadata, its pixels."""
