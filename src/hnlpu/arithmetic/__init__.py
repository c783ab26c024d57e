"""What a number is: the golden integers, digits of MXFP4, and the vector unit in fixed point.

golden ─► codebooks ─► mx ─► onto ─► fixed_point
"""
