# ruff: noqa: ARG001 - an experiment is handed its seed; those that draw globally leave it, as people do
"""scikit-learn, on data that ships with it; imported function by function, for each submodule costs its own time."""

import numpy as np

from seedbed.suite.inputs import digits


def mlp_lbfgs(*, seed: int) -> dict[str, object]:
    """Fit the small network of scikit-learn's own example; initial weights from NumPy's global generator."""
    from sklearn.datasets import load_wine
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import scale

    samples, labels = load_wine(return_X_y=True)
    samples = scale(samples)
    model = MLPClassifier(solver="lbfgs", alpha=1e-5, hidden_layer_sizes=(5, 3), max_iter=2000).fit(samples, labels)
    return {"weights": model.coefs_, "probabilities": model.predict_proba(samples), "loss": model.loss_}


def mlp_adam(*, seed: int) -> dict[str, object]:
    """Train a network on the digits, epoch by epoch; initial weights and batches from ``random_state=seed``."""
    from sklearn.neural_network import MLPClassifier

    train, train_labels, test, test_labels = digits()
    model = MLPClassifier((32,), learning_rate_init=0.01, random_state=seed)
    for _ in range(10):
        model.partial_fit(train, train_labels, classes=np.arange(10))
    return {
        "loss_curve": model.loss_curve_,
        "weights": model.coefs_,
        "predictions": model.predict(test),
        "accuracy": model.score(test, test_labels),
    }


def logistic_regression(*, seed: int) -> dict[str, object]:
    """Fit a convex problem to its optimum: nothing is random."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import scale

    samples, labels = load_breast_cancer(return_X_y=True)
    samples = scale(samples)
    model = LogisticRegression().fit(samples, labels)
    return {
        "coefficients": model.coef_,
        "intercept": model.intercept_,
        "probabilities": model.predict_proba(samples)[:, 1],
        "iterations": model.n_iter_,
    }


def random_forest(*, seed: int) -> dict[str, object]:
    """Grow a forest on the digits, tree after tree; samples and features from NumPy's global generator."""
    return _forest(n_jobs=1)


def random_forest_parallel(*, seed: int) -> dict[str, object]:
    """Grow the forest of `random_forest` in two threads; from NumPy's global generator, so it is the same forest."""
    return _forest(n_jobs=2)


def _forest(n_jobs: int) -> dict[str, object]:
    from sklearn.ensemble import RandomForestClassifier

    train, train_labels, test, test_labels = digits()
    model = RandomForestClassifier(n_estimators=10, n_jobs=n_jobs).fit(train, train_labels)
    return {
        "importances": model.feature_importances_,
        "probabilities": model.predict_proba(test),
        "predictions": model.predict(test),
        "accuracy": model.score(test, test_labels),
    }


def k_means(*, seed: int) -> dict[str, object]:
    """Cluster the digits; first centres from ``random_state=seed``."""
    from sklearn.cluster import KMeans

    model = KMeans(n_clusters=10, n_init=1, random_state=seed).fit(digits()[0])
    return {"centers": model.cluster_centers_, "labels": model.labels_, "inertia": model.inertia_}


def pca_randomized(*, seed: int) -> dict[str, object]:
    """Find 16 principal components of the digits; random projection from NumPy's global generator."""
    from sklearn.decomposition import PCA

    train, _, test, _ = digits()
    model = PCA(n_components=16, svd_solver="randomized", iterated_power=2).fit(train)
    return {
        "components": model.components_,
        "singular_values": model.singular_values_,
        "projected": model.transform(test)[::4],
    }


def gradient_boosting(*, seed: int) -> dict[str, object]:
    """Boost trees on half of the samples each; the halves from ``random_state=seed``."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import GradientBoostingClassifier

    samples, labels = load_breast_cancer(return_X_y=True)
    model = GradientBoostingClassifier(n_estimators=20, subsample=0.5, random_state=seed).fit(samples, labels)
    return {
        "importances": model.feature_importances_,
        "train_score": model.train_score_,
        "probabilities": model.predict_proba(samples)[:, 1],
    }


def train_test_split(*, seed: int) -> dict[str, object]:
    """Split the digits for training and testing, by label; from NumPy's global generator."""
    from sklearn.model_selection import train_test_split

    labels = digits()[1]
    train, test = train_test_split(np.arange(len(labels)), stratify=labels)
    return {"train": train, "test": test}
