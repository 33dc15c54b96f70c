"""What every package needs of the operating system: atomic writes, locks, child processes, caches."""
