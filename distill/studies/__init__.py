"""The controlled comparison: what does a student owe to its teacher?

Every row trains the same student on the same crops in the same order, with the same optimiser, schedule and seeds;
a row is what differs. See `rows` for what there is, and `flow` for what happens in which order.
"""
