"""What a global transaction means, without I/O: the machines, names and log operations."""
