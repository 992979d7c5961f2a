"""What the queue and its table cost with millions of rows, measured with generated rows and claims without a model."""
