"""Start, fork and keep the kernels in which segments run."""
