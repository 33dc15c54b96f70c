"""Train small students of a teacher, quantised for the device: data, teachers, students, losses, training.

Nothing is imported here: `import distill` must stay free of torch, for everyone who only reads data.
"""
