"""What a lock means, without I/O: the model, its operations, names and limits."""
