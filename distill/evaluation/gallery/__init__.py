"""The images that a student does worst on, and why: measured on each image, and counted over all of them."""
