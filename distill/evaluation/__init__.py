"""What a student predicts on labelled images, its scores, and the thresholds chosen by them."""
