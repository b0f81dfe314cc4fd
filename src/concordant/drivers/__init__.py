"""The ports and the backends that implement them."""
