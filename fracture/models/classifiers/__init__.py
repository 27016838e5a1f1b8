"""Film classifiers: networks that say of a whole film what their heads are asked, and where on it they see that."""
