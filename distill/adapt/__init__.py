"""A folder of images, some of them labelled, becomes a student for these images.

survey.py looks at the images, labels and masks; plan.py says which images are held out, and how each student is
trained; measure.py trains and scores; report.py writes what came out; flow.py is the main flow.
"""
