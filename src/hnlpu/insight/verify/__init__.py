"""Proof that a build is whole, is the checkpoint, and computes exactly."""

from hnlpu.insight.verify._check import Check
from hnlpu.insight.verify._chip import ChipAnswer, ChipCheck, check_chip
from hnlpu.insight.verify._verify import Verification, verify

__all__ = ["Check", "ChipAnswer", "ChipCheck", "Verification", "check_chip", "verify"]
