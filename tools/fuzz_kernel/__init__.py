"""A fuzzer over the placement kernel in C; see ``python -m tools.fuzz_kernel --help``."""
