"""What is made: the process, the metal of every weight, where it lies, masks and circuits.

technology ─► embed ─► place ─► hardwire ─► masks ─► rtl
"""
