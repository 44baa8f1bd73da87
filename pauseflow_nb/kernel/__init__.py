"""Run steps inside the kernel of a notebook: `%%step`, `flow`, `steps`, saving and restoring variables."""
