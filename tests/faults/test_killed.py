"""The product killed, or told to stop, at random moments under load: what it acknowledged is stored exactly once."""

from __future__ import annotations

from random import Random

import pytest

from tests.faults.conftest import ROUNDS, report
from tests.faults.product import Product
from tests.faults.senders import Load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 + 20 * ROUNDS)]


def test_killed_at_random_moments_and_then_told_to_stop(product: Product) -> None:
    random = Random(ROUNDS)
    with Load(product) as load:
        for _ in range(ROUNDS):
            load.work_for(random.uniform(0, 1))
            product.kill()
            product.start()
        load.work_for(random.uniform(0, 1))
        assert product.terminate() == 0
        assert list((product.directory / "spool").glob("*.rows")) == []
        product.start()
    load.verify()
    report(f"{ROUNDS} kills: {load.told()}")
    assert "ERROR" not in product.log.read_text()
