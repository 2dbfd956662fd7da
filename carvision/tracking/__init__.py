"""What reports a running training, and the outbox for what the tracking server missed."""
