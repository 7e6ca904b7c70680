"""Which role may do what, written out once more by hand."""

from __future__ import annotations

import pytest

from core.errors import Forbidden
from tenants.principal import NotAllowed, Permission, Principal, Role
from tenants.scope import Scope

MAY = {
    #            send   read   edit   redrive finance admin
    "ingest": (True, False, False, False, False, False),
    "viewer": (False, True, False, False, False, False),
    "editor": (False, True, True, True, False, False),
    "finance": (False, True, False, False, True, False),
    "admin": (True, True, True, True, True, True),
}


def test_the_table_is_complete():
    assert list(MAY) == [role.value for role in Role]
    assert {len(row) for row in MAY.values()} == {len(Permission)}


@pytest.mark.parametrize("role", Role)
def test_a_role_allows_what_the_table_says(role):
    principal = Principal("someone", role, Scope())
    for permission, is_allowed in zip(Permission, MAY[role.value], strict=True):
        assert (permission in role.permissions) is is_allowed
        if is_allowed:
            principal.require(permission)
            continue
        with pytest.raises(NotAllowed):
            principal.require(permission)


@pytest.mark.parametrize(
    ("permission", "sentence"),
    [
        (
            Permission.READ,
            "a key with role ingest may not read costs; use one with role viewer or editor or finance or admin",
        ),
        (Permission.ADMIN, "a key with role ingest may not administer; use one with role admin"),
    ],
)
def test_a_refusal_says_which_roles_would_do(permission, sentence):
    with pytest.raises(NotAllowed) as refusal:
        Principal("collector", Role.INGEST, Scope()).require(permission)
    assert isinstance(refusal.value, Forbidden)
    assert refusal.value.code == "FORBIDDEN"
    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("scope", "is_unrestricted"),
    [
        (Scope(), True),
        (Scope(tenant="acme"), False),
        (Scope(team="search"), False),
        (Scope(environment="production"), False),
        (Scope(tenant=""), False),
    ],
)
def test_a_scope_restricts_by_any_of_its_parts(scope, is_unrestricted):
    assert scope.unrestricted is is_unrestricted
