"""What is known of a build or a machine afterwards: verdicts and pages.

verify ─► report
"""
