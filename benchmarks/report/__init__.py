"""The report: its records, its checks, its schema and its tables."""
