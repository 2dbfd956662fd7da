"""Results that wait on the disk until the tracking server has them."""
