"""What the queue and its table cost with millions of rows: generated rows, and claims without a model."""
