"""One file for each command of `python -m runtime`: NAME, add_arguments(parser) and run(args) -> exit code."""
