"""What comes in as an array: masked arrays, byte orders, ragged lists, tensors; and underflow, which is no error."""
import numpy as np
import pytest

from minitf import attention, attention_blocked, attention_weights, linear, softmax


@pytest.mark.parametrize("name", ["q", "k", "v", "mask", "bias", "keep", "sinks"])
def test_masked_arrays_are_refused_by_name(name):
    args = {x: np.ones((2, 4, 3)) for x in "qkv"} | {"mask": np.ones((4, 4), bool), "bias": np.ones((4, 4)),
                                                     "keep": np.ones((4, 4)), "sinks": np.ones(2)}
    args[name] = np.ma.array(args[name], mask=False)
    for op in attention, attention_blocked:
        with pytest.raises(TypeError, match=f"^{name}: expected an array without a mask of its own, got "):
            op(**args)


def test_masked_segments_are_refused():
    q, ids = np.ones((4, 3)), np.zeros(4, int)
    with pytest.raises(TypeError, match="^segments: expected an array without a mask of its own"):
        attention(q, q, q, segments=(ids, np.ma.array(ids, mask=ids == 0)))


def test_either_byte_order_is_accepted(rng):
    q, k, v = rng.standard_normal((3, 4, 3))
    mask, bias = np.where(rng.random((4, 4)) < 0.7, 0.5, -np.inf), rng.standard_normal((4, 4))
    ids = rng.integers(0, 2, 4)
    swapped = [x.astype(x.dtype.newbyteorder()) for x in (q, k, v, mask, bias, ids)]
    assert not swapped[0].dtype.isnative
    out, pullback = attention(q, k, v, mask=mask, bias=bias, segments=(ids, ids))
    twin, back = attention(*swapped[:3], mask=swapped[3], bias=swapped[4], segments=(swapped[5], swapped[5]))
    assert np.array_equal(out, twin) and twin.dtype == np.float64 and twin.dtype.isnative
    assert all(np.array_equal(x, y) for x, y in zip(pullback(q), back(swapped[0])))
    assert softmax(swapped[0])[0].dtype.isnative


@pytest.mark.parametrize("name", ["q", "k", "v"])
def test_ragged_lists_are_named(name):
    args = {x: [[1.0, 2.0], [3.0, 4.0]] for x in "qkv"} | {name: [[1.0, 2.0], [3.0]]}
    with pytest.raises(ValueError, match=f"^{name}: expected rows of one length, got "):
        attention(**args)


def test_an_object_that_does_not_convert_is_named():
    class Tensor:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
    with pytest.raises(TypeError, match=r"^x: expected what NumPy can read \(Can't call numpy\(\) on Tensor that requires grad.*, got "):
        linear(Tensor(), np.ones((2, 2)))


def test_a_torch_tensor_is_read_and_one_that_requires_grad_is_named():
    torch = pytest.importorskip("torch")
    q = torch.ones(2, 3, dtype=torch.float64)
    assert np.array_equal(attention(q, q, q)[0], np.ones((2, 3)))
    with pytest.raises(TypeError, match="^k: expected what NumPy can read .*requires grad"):
        attention(q, q.clone().requires_grad_(), q)


@pytest.mark.parametrize("dtype, far", [(np.float64, 720.0), (np.float32, 100.0)])
@pytest.mark.parametrize("options", [{}, {"softcap": 500.0}, {"sinks": np.array(0.0)}, {"bias": np.zeros((1, 2))}])
def test_underflow_does_not_raise(dtype, far, options):
    """exp(-720) is a subnormal number, and its product with a gradient is none: a score lost the race, no error."""
    q, k, v = (np.array(x, dtype) for x in ([[1.0]], [[0.0], [-far]], [[1e-3], [2e-3]]))
    options = {name: x if isinstance(x, float) else x.astype(dtype) for name, x in options.items()}
    with np.errstate(all="raise"):
        for op in attention, attention_blocked:
            (_, _), pullback = op(q, k, v, scale=1, lse=True, **options)
            pullback((np.full((1, 1), 1e-3, dtype), np.ones(1, dtype)))
        attention_weights(q, k, scale=1, **options)
        y, back = softmax(np.array([0.0, -far], dtype))
        back(np.array([1e-3, 1e-3], dtype))
