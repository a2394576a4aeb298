"""AutoencoderTransformer: the textbook gradient, its losses, and codes worth having."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skvae import AutoencoderTransformer, _base
from skvae._torch.networks import ACTIVATIONS

QUICK = {"max_iter": 3, "random_state": 0}
TEXTBOOK = {
    "hidden_layer_sizes": (),
    "code_activation": "relu",
    "out_activation": "logistic",
    "loss": "squared_error",
    "solver": "sgd",
}


def weights_of(autoencoder):
    network = autoencoder._model.network
    layers = (network.code.layers[0], network.output)
    return [p.detach().numpy().astype(float) for layer in layers for p in layer.parameters()]


def test_every_activation_has_a_public_name():
    assert set(ACTIVATIONS) == _base.ACTIVATIONS


@pytest.mark.parametrize("batch_size", [20, 1000])
@pytest.mark.parametrize("as_table", [np.asarray, sp.csr_matrix])
def test_one_sgd_step_of_the_textbook_autoencoder(as_table, batch_size):
    rng = np.random.RandomState(0)
    X = rng.uniform(size=(20, 6)) * (rng.uniform(size=(20, 6)) < 0.7)
    learning_rate = 0.5
    autoencoder = AutoencoderTransformer(
        3,
        learning_rate_init=learning_rate,
        batch_size=batch_size,
        max_iter=1,
        warm_start=True,
        random_state=0,
        **TEXTBOOK,
    ).fit(as_table(X))
    W, b, V, c = weights_of(autoencoder)
    autoencoder.fit(as_table(X))

    a = X @ W + b
    z = np.maximum(a, 0)
    y = 1 / (1 + np.exp(-(z @ V.T + c)))
    d_output = 2 * (y - X) * y * (1 - y) / len(X)
    d_code = (d_output @ V) * (a > 0)
    gradients = (X.T @ d_code, d_code.sum(axis=0), d_output.T @ z, d_output.sum(axis=0))
    for after, before, gradient in zip(
        weights_of(autoencoder), (W, b, V, c), gradients, strict=True
    ):
        assert np.abs(gradient).max() > 1e-3
        np.testing.assert_allclose(after, before - learning_rate * gradient, atol=1e-6)
    loss = ((X - y) ** 2).sum(axis=1).mean()
    assert autoencoder.loss_curve_[1] == pytest.approx(loss, rel=1e-5)


def test_weights_start_from_xaviers_distribution():
    X = np.random.RandomState(0).uniform(size=(5, 300))
    autoencoder = AutoencoderTransformer(
        200, learning_rate_init=1e-12, max_iter=1, random_state=0, **TEXTBOOK
    ).fit(X)
    W, b, V, c = weights_of(autoencoder)
    bound = np.sqrt(6 / 500)
    for weight in (W, V):
        assert np.abs(weight).max() <= bound
        assert weight.var() == pytest.approx(bound**2 / 3, rel=0.02)
    assert np.abs(np.concatenate([b, c])).max() < 1e-9


def test_full_batch_descent_lowers_the_loss_at_every_step():
    X = load_digits().data[:300] / 16
    autoencoder = AutoencoderTransformer(
        8, batch_size=300, learning_rate_init=0.02, max_iter=100, random_state=0, **TEXTBOOK
    ).fit(X)
    assert autoencoder.n_iter_ == 100
    assert (np.diff(autoencoder.loss_curve_) < 0).all()


def test_reconstructs_held_out_digits_better_than_pca():
    train, test = train_test_split(load_digits().data / 16, random_state=0)
    autoencoder = AutoencoderTransformer(8, max_iter=100, batch_size=32, random_state=0).fit(train)
    pca = PCA(8).fit(train)
    pca_error = ((pca.inverse_transform(pca.transform(test)) - test) ** 2).sum(axis=1).mean()
    assert autoencoder.reconstruction_error(test).mean() < pca_error


@pytest.mark.parametrize(
    ("X", "loss", "out_activation"),
    [
        ([[0, 1], [1, 1]], "binary_cross_entropy", "logistic"),
        ([[0, 0.5], [1, 1]], "squared_error", "logistic"),
        ([[0, 1.5], [1, 1]], "squared_error", "identity"),
    ],
)
def test_loss_and_output_follow_the_data(X, loss, out_activation):
    autoencoder = AutoencoderTransformer(**QUICK).fit(X)
    assert autoencoder.loss_ == loss
    assert autoencoder.out_activation_ == out_activation


def test_loss_that_the_data_choose_suits_the_output_that_is_asked_for(binary_rows):
    autoencoder = AutoencoderTransformer(**QUICK | {"out_activation": "relu"}).fit(binary_rows)
    assert autoencoder.loss_ == "squared_error"
    autoencoder.set_params(out_activation="logistic").fit(binary_rows)
    assert autoencoder.loss_ == "binary_cross_entropy"


@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy"])
@pytest.mark.parametrize("as_table", [np.asarray, sp.csr_matrix])
def test_reconstruction_error_is_the_loss_of_each_row(as_table, loss, sparse_rows):
    X = sparse_rows.toarray()
    autoencoder = AutoencoderTransformer(loss=loss, **QUICK).fit(as_table(X))
    Y = autoencoder.inverse_transform(autoencoder.transform(X))
    if loss == "squared_error":
        expected = ((X - Y) ** 2).sum(axis=1)
    else:
        expected = -(X * np.log(Y) + (1 - X) * np.log1p(-Y)).sum(axis=1)
    np.testing.assert_allclose(autoencoder.reconstruction_error(as_table(X)), expected, rtol=1e-9)


def test_errors_do_not_depend_on_the_company_of_a_row(binary_rows):
    autoencoder = AutoencoderTransformer(**QUICK).fit(binary_rows)
    together = autoencoder.reconstruction_error(binary_rows)
    alone = [autoencoder.reconstruction_error(row[None])[0] for row in binary_rows[:20]]
    np.testing.assert_allclose(alone, together[:20], rtol=1e-12)


def test_names_and_frames(binary_rows):
    autoencoder = AutoencoderTransformer(2, **QUICK).set_output(transform="pandas")
    frame = autoencoder.fit_transform(binary_rows)
    expected = ["autoencodertransformer0", "autoencodertransformer1"]
    assert autoencoder.get_feature_names_out().tolist() == expected
    assert frame.columns.tolist() == expected


@pytest.mark.parametrize(
    "activation", ["identity", "relu", "tanh", "logistic", "softplus", "elu", "silu"]
)
def test_every_activation_trains(activation, binary_rows):
    autoencoder = AutoencoderTransformer(
        activation=activation,
        code_activation=activation,
        out_activation=activation,
        loss="squared_error",
        hidden_layer_sizes=(16, 8),
        max_iter=20,
        random_state=0,
    ).fit(binary_rows)
    assert autoencoder.loss_curve_[-1] < autoencoder.loss_curve_[0]


def test_early_stopping_on_held_out_rows(binary_rows):
    autoencoder = AutoencoderTransformer(
        early_stopping=True, learning_rate_init=1e-2, max_iter=500, random_state=0
    ).fit(binary_rows)
    assert autoencoder.n_iter_ < 500
    assert len(autoencoder.validation_loss_curve_) == autoencoder.n_iter_


def test_cross_entropy_refuses_another_output_or_value(binary_rows):
    with pytest.raises(ValueError, match="needs out_activation='logistic'.*'relu'"):
        AutoencoderTransformer(loss="binary_cross_entropy", out_activation="relu").fit(binary_rows)
    with pytest.raises(ValueError, match=r"takes values in \[0, 1\]; column 0 has 5"):
        AutoencoderTransformer(loss="binary_cross_entropy").fit(np.full((3, 2), 5.0))
