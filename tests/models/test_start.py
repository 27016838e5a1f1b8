"""Weights restated in other statistics compute what they did, and train from the statistics of films."""

import pytest

from fracture.core.errors import BadValue
from fracture.models.start import restate_norms

torch = pytest.importorskip("torch")


@pytest.fixture
def network():
    torch.manual_seed(0)
    made = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, bias=False),
        torch.nn.BatchNorm2d(8, eps=1e-3),
        torch.nn.SiLU(),
        torch.nn.Conv2d(8, 5, 3, bias=False),
        torch.nn.BatchNorm2d(5, eps=1e-3),
    )
    for layer in (made[1], made[4]):
        layer.weight.data.uniform_(0.5, 2)
        layer.bias.data.normal_()
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 3)
    return made.train()


def films(count=6):
    torch.manual_seed(1)
    return [0.4 * torch.rand(1, 3, 24, 20 + number) for number in range(count)]


def test_the_function_stays_and_the_statistics_are_the_films(network):
    batches = films()
    network.eval()
    before = [network(batch) for batch in batches]
    network.train()
    assert restate_norms(network, batches) == 2
    assert network.training
    network.eval()
    for batch, expected in zip(batches, before, strict=True):
        torch.testing.assert_close(network(batch), expected, atol=1e-4, rtol=1e-4)
    seen = torch.cat([network[0](batch).flatten(2) for batch in batches], dim=2)
    torch.testing.assert_close(network[1].running_mean, seen.mean(dim=(0, 2)), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(network[1].running_var, seen.var(dim=(0, 2), unbiased=False), atol=1e-5, rtol=1e-4)


def test_training_mode_then_answers_much_as_eval_mode_does(network):
    batch = torch.cat([film[..., :20] for film in films(16)])
    restate_norms(network, [batch])
    trained = network(batch)
    network.eval()
    torch.testing.assert_close(trained, network(batch), atol=0.02, rtol=0.02)


def test_no_films_are_refused(network):
    with pytest.raises(BadValue, match="films"):
        restate_norms(network, [])
