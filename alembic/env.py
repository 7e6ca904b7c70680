"""Runs the relational migrations on the connection that `core.database` hands over."""

from alembic import context
from sqlmodel import SQLModel

import budgets.models
import finance.allocation.rulebook
import finance.bills.stored
import finance.bookings
import finance.revenue.actual
import finance.statements.models
import ingest.rejected
import ingest.repricings
import notifications.channels
import notifications.outbox
import pricing.models
import tenants.audit
import tenants.erasures
import tenants.keys
import tenants.models

context.configure(
    connection=context.config.attributes["connection"], target_metadata=SQLModel.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
