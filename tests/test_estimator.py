"""Estimators: every random_state inside, from streams named after their parameters."""

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, StackingClassifier
from sklearn.linear_model import LinearRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV, KFold, RandomizedSearchCV, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from seedbed.errors import ConfigError, SeedError
from seedbed.estimator import seed_estimator
from seedbed.streams import Streams

X, Y = load_iris(return_X_y=True)


def pipeline() -> Any:
    return make_pipeline(
        StandardScaler(),
        PCA(2, svd_solver="randomized"),
        BaggingClassifier(DecisionTreeClassifier(splitter="random"), n_estimators=3),
    )


def test_each_random_state_is_its_own_streams() -> None:
    model = pipeline()
    assert seed_estimator(model, 1337) is model
    streams = Streams(1337).child("estimator")
    names = ["pca__random_state", "baggingclassifier__random_state", "baggingclassifier__estimator__random_state"]
    parameters = model.get_params()
    assert {name for name in parameters if name.endswith("random_state")} == set(names)
    assert [parameters[name] for name in names] == [streams.sklearn(name) for name in names]
    assert len({parameters[name] for name in names}) == 3


def test_fitting_twice_gives_the_same_and_moves_no_global_generator() -> None:
    def predicted(model: Any) -> Any:
        return model.fit(X, Y).predict_proba(X)

    before = np.random.get_state(legacy=False)["state"]
    model = seed_estimator(pipeline(), 1)
    first = predicted(model)
    assert np.array_equal(first, predicted(model))
    assert np.array_equal(first, predicted(seed_estimator(pipeline(), 1)))
    assert not np.array_equal(first, predicted(seed_estimator(pipeline(), 2)))
    after = np.random.get_state(legacy=False)["state"]
    assert np.array_equal(before["key"], after["key"])
    assert before["pos"] == after["pos"]


def test_unseeded_it_would_differ() -> None:
    model = pipeline()
    assert not np.array_equal(model.fit(X, Y).predict_proba(X), model.fit(X, Y).predict_proba(X))


def test_a_list_of_estimators() -> None:
    stack = StackingClassifier([("a", SGDClassifier()), ("b", RandomForestClassifier(3))])
    seed_estimator(stack, 1)
    (_, a), (_, b) = stack.estimators
    assert (a.random_state, b.random_state) == tuple(
        Streams(1).child("estimator").sklearn(f"{name}__random_state") for name in "ab"
    )


def test_streams_of_ones_own_tell_two_apart() -> None:
    streams = Streams(1)
    a, b = (seed_estimator(PCA(2), streams.child(name)).random_state for name in ("a", "b"))
    assert a == streams.child("a", "estimator").sklearn("random_state") != b


@pytest.mark.parametrize("splitter", [KFold(3, shuffle=True), ShuffleSplit(2)])
def test_a_splitter_that_shuffles_is_seeded(splitter: Any) -> None:
    search = seed_estimator(GridSearchCV(SGDClassifier(), {"alpha": [1e-4]}, cv=splitter), 1)
    assert search.cv.random_state == Streams(1).child("estimator").sklearn("cv__random_state")
    assert search.fit(X, Y).cv_results_["mean_test_score"].tolist() == (
        search.fit(X, Y).cv_results_["mean_test_score"].tolist()
    )


def test_a_splitter_that_does_not_shuffle_is_left_alone() -> None:
    search = seed_estimator(RandomizedSearchCV(SGDClassifier(), {"alpha": [1e-4]}, cv=KFold(3)), 1)
    assert search.cv.random_state is None
    assert search.random_state is not None


def test_an_estimator_without_randomness_stays_as_it_is() -> None:
    model = LinearRegression()
    before = model.get_params()
    assert seed_estimator(model, 1).get_params() == before


@pytest.mark.parametrize("wrong", [PCA, 3, KFold(3)])
def test_what_is_no_estimator_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigError, match="takes a scikit-learn estimator, with get_params and set_params, not"):
        seed_estimator(wrong, 1)


def test_a_seed_that_is_none_changes_nothing() -> None:
    model = PCA(2, random_state=5)
    with pytest.raises(SeedError):
        seed_estimator(model, -1)
    assert model.random_state == 5
