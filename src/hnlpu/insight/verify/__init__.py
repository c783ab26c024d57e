"""Proof that a build is whole, is the checkpoint, and computes exactly."""

from hnlpu.insight.verify._check import Check
from hnlpu.insight.verify._chip import (
    ChipAnswer,
    ChipCheck,
    SignalCheck,
    check_chip,
    check_signal_chip,
    expect_prompts,
    expect_sequences,
)
from hnlpu.insight.verify._verify import Verification, verify

__all__ = [
    "Check",
    "ChipAnswer",
    "ChipCheck",
    "SignalCheck",
    "Verification",
    "check_chip",
    "check_signal_chip",
    "expect_prompts",
    "expect_sequences",
    "verify",
]
