"""Chips as machines: what they are, how fast, what they cost, what stands against them.

catalog ─► machine ─► cost ─► audit ─► explore
"""
