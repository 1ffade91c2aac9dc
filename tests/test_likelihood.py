"""CE and KD in chunks of tokens, against plain implementations that hold all logits."""

import pytest
import torch
from torch.nn import functional as F

from comsl.model.language_model import Head
from comsl.model.objectives import likelihood as module
from comsl.model.objectives.likelihood import Group, likelihood

TOKENS, WIDTH, VOCABULARY = 11, 6, 23
COEFFICIENTS = {"ce_mt": 0.8, "kd_mt": 0.2, "ce_st": 0.1, "kd_st": 0.9, "ce_asr": 0.7}


@pytest.fixture
def parts():
    """Decoder states of three branches, labels, the head, and a teacher with a head of its own."""
    torch.manual_seed(0)
    tensor = torch.randn(5, TOKENS, WIDTH)
    weight, other = torch.randn(2, VOCABULARY, WIDTH)
    bias = torch.randn(VOCABULARY)
    leaves = [*(t.clone().requires_grad_() for t in tensor[:3]), weight.requires_grad_()]
    labels = torch.randint(VOCABULARY, (2, TOKENS))
    return leaves, labels, bias, (tensor[3], Head(other, bias))


def chunked(leaves, labels, bias, teacher, smoothing):
    mt, st, asr, weight = leaves
    groups = [Group({"mt": mt, "st": st}, labels[0], teacher), Group({"asr": asr}, labels[1])]
    return likelihood(groups, Head(weight, bias), COEFFICIENTS, smoothing)


def plain(leaves, labels, bias, teacher, smoothing):
    mt, st, asr, weight = leaves
    q = {name: s @ weight.T + bias for name, s in (("mt", mt), ("st", st), ("asr", asr))}
    p = teacher[0] @ teacher[1].weight.T + bias
    terms = {
        f"ce_{name}": F.cross_entropy(
            logits, labels[int(name == "asr")], reduction="sum", label_smoothing=smoothing
        )
        for name, logits in q.items()
    }
    terms["kd_mt"] = F.cross_entropy(q["mt"], p.softmax(-1), reduction="sum")
    terms["kd_st"] = F.cross_entropy(q["st"], q["mt"].detach().softmax(-1), reduction="sum")
    return sum(COEFFICIENTS[name] * term for name, term in terms.items()), terms


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("rows", [1, 4, 100])
def test_terms_and_gradients_are_the_plain_ones(parts, monkeypatch, rows, smoothing):
    monkeypatch.setattr(module, "ROWS", rows)
    total, terms = chunked(*parts, smoothing)
    expected_total, expected = plain(*parts, smoothing)
    assert terms.keys() == expected.keys()  # no kd_asr: it has no coefficient
    for name, term in expected.items():
        torch.testing.assert_close(terms[name], term.detach())
        assert not terms[name].requires_grad
    torch.testing.assert_close(total, expected_total)
    ours = torch.autograd.grad(3 * total, parts[0])
    theirs = torch.autograd.grad(3 * expected_total, parts[0])
    torch.testing.assert_close(ours, theirs)
    with pytest.raises(RuntimeError, match="one backward pass"):
        torch.autograd.grad(total, parts[0])


@pytest.mark.parametrize("frozen", [False, True])
def test_where_no_gradient_is_wanted_none_is_formed(parts, monkeypatch, frozen):
    """In validation and in stage 7, and where nothing trains: the values are the same."""
    monkeypatch.delattr(module, "_to_logit_gradient")
    (leaves, *others), expected = parts, plain(*parts, 0.0)[0].detach()
    with torch.set_grad_enabled(frozen):
        total, _ = chunked([t.detach() for t in leaves] if frozen else leaves, *others, 0.0)
    assert not total.requires_grad
    torch.testing.assert_close(total, expected)


def test_a_branch_without_coefficients_gets_no_gradient(parts):
    """It only teaches another."""
    leaves, labels, bias, _ = parts
    mt, st, _, weight = leaves
    group = [Group({"mt": mt, "st": st}, labels[0])]
    total, _ = likelihood(group, Head(weight, bias), {"kd_st": 1.0})
    of_mt, of_st = torch.autograd.grad(total, [mt, st], allow_unused=True)
    assert of_mt is None
    assert of_st.norm() > 0
