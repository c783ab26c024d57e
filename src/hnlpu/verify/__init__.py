"""Proof that a build is whole, is the checkpoint, and computes exactly."""

from hnlpu.verify._check import Check
from hnlpu.verify._verify import Verification, verify

__all__ = ["Check", "Verification", "verify"]
