"""A seeded population whose truth is known, and the descriptions that learn from it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from export_gate.model import ModelDescription


FEATURES = ("age", "income", "visits", "district", "smoker")


@pytest.fixture
def people() -> pd.DataFrame:
    random = np.random.default_rng(11)
    n = 600
    age = random.integers(18, 90, n).astype(float)
    visits = random.poisson(3, n)
    district = random.choice(["东区", "西区", "南区"], n).astype(object)
    smoker = random.random(n) < 0.3
    risk = (age - 50) / 20 + (visits - 3) / 3 + smoker * 0.8 + (district == "东区") * 0.5
    frame = pd.DataFrame(
        {
            "person": [f"P{place:05d}" for place in range(n)],
            "age": age,
            "income": random.lognormal(8, 0.5, n),
            "visits": visits,
            "district": district,
            "smoker": smoker,
            "ill": np.where(risk + random.logistic(size=n) > 0.3, "是", "否"),
            "cost": 1000 + 300 * risk + 200 * random.normal(size=n),
        }
    )
    frame.loc[random.random(n) < 0.05, "age"] = np.nan
    frame.loc[random.random(n) < 0.05, "district"] = None
    return frame


@pytest.fixture
def describe() -> Callable[..., ModelDescription]:
    def make(
        estimator: str, target: str = "ill", features: tuple[str, ...] = FEATURES, **params: float | str | bool | None
    ) -> ModelDescription:
        return ModelDescription(f"sklearn.{estimator}", params, features, target, "person")

    return make
