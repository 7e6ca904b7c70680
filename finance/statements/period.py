"""A billing period: one calendar month of the deployment's billing zone."""

from __future__ import annotations

from finance.month import InvalidPeriod
from finance.month import Month as BillingPeriod

__all__ = ["BillingPeriod", "InvalidPeriod"]
