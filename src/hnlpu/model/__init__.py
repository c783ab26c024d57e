"""What is to be hardwired, as data: the network, its weights, and the policy for their digits.

policy ─► network ─► families ─► checkpoint
"""
