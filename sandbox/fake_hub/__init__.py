"""A local Hub to rehearse with: `FakeHub` serves jobs and buckets to the unmodified client."""

from sandbox.fake_hub.faults import FaultKind, FaultPlan, Faults
from sandbox.fake_hub.hub import FakeHub

__all__ = ["FakeHub", "FaultKind", "FaultPlan", "Faults"]
