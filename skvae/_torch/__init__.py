"""Networks, likelihoods, bounds and the training loop. Knows nothing of scikit-learn."""
