"""The 28x28 digit to a prediction: features, classifiers, and the model folder that holds them."""
