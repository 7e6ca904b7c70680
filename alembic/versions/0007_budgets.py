"""Budgets, guardrails, their breaches, and who evaluates them."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "targets",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("team", sa.String(200), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("slice_version", sa.Integer, nullable=False),
        sa.Column("muted_until", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
    )
    live = sa.text("deleted_at IS NULL")
    op.create_index(
        "uq_targets_kind_name", "targets", ["kind", "name"], unique=True, sqlite_where=live, postgresql_where=live
    )
    op.create_table(
        "target_versions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("target_id", sa.Integer, sa.ForeignKey("targets.id"), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("terms", sa.Text, nullable=False),
        sa.UniqueConstraint("target_id", "version"),
    )
    op.create_table(
        "breaches",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("target_id", sa.Integer, sa.ForeignKey("targets.id"), nullable=False),
        sa.Column("target_version", sa.Integer, nullable=False),
        sa.Column("member", sa.String(500), nullable=False),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("period_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("threshold", sa.String(60), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("observed", sa.String(40), nullable=False),
        sa.Column("bound", sa.String(40), nullable=False),
        sa.Column("limit_amount", sa.String(40)),
        sa.Column("forecast", sa.String(40)),
        sa.Column("operations", sa.Integer, nullable=False),
        sa.Column("contributors", sa.Text, nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("openings", sa.Integer, nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True)),
        sa.Column("acknowledged_by", sa.String(200)),
        sa.Column("note", sa.String(2000)),
        sa.Column("resolved_at", sa.DateTime(timezone=True)),
        sa.Column("resolution", sa.String(20)),
        sa.UniqueConstraint("target_id", "member", "period_start", "threshold"),
    )
    unresolved = sa.text("resolved_at IS NULL")
    op.create_index(
        "uq_breaches_unresolved",
        "breaches",
        ["target_id", "member", "threshold"],
        unique=True,
        sqlite_where=unresolved,
        postgresql_where=unresolved,
    )
    op.create_index("ix_breaches_period_end", "breaches", ["period_end"])
    op.create_table(
        "leases",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("holder", sa.String(40), nullable=False),
        sa.Column("expires_at", sa.Float(53), nullable=False),
    )
    op.create_table(
        "budget_snapshots",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("evaluated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    for table in ("budget_snapshots", "leases", "breaches", "target_versions", "targets"):
        op.drop_table(table)
