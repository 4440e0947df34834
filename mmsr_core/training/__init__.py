"""Training of every part, one stage a module: `python -m mmsr_core.training STAGE --help`."""
