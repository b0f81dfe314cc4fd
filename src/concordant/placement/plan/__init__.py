"""What has to move when one placement takes the place of another."""

from concordant.placement.plan.between import plan_between
from concordant.placement.plan.plan import MovedRange, Plan
from concordant.placement.plan.router import Router
from concordant.placement.plan.steps import Step

__all__ = ["Plan", "MovedRange", "Step", "Router", "plan_between"]
