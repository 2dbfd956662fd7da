"""Archives of photos: what a zip holds, and how it is unpacked."""
